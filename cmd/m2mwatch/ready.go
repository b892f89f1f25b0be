package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/internal/doctor"
)

// readyLimit is how long an answer is waited for.
const readyLimit = 5 * time.Second

func newReady(inv *invocation) *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Ask the process on this machine whether it is ready, for health checks",
		Long: `ready asks /readyz of the process that the same configuration started, and ends with 0 where it
is ready. A container that has no curl is checked by it. Where that process speaks TLS it is
known by the certificate that it is configured with, whatever its name. The socket of the data
directory is asked where the port to ask on is not configured, or no certificate has come yet.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := readyClient(inv, address)
			if err != nil {
				return err
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), readyLimit)
			defer cancel()
			ready, err := client.Ready(ctx)
			if err != nil {
				return err
			}
			if err := inv.printJSON(ready); err != nil {
				return err
			}
			if !ready.Ready {
				return errNotReady
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "url", "", "where it listens, http://HOST:PORT (default: the configuration's listen)")
	return cmd
}

var errNotReady = errors.New("not ready")

// readyClient asks the listener rather than the socket, since of several
// stages with one data directory a single one has the socket.
func readyClient(inv *invocation, address string) (*apiclient.Client, error) {
	if address != "" && !strings.HasPrefix(address, "https://") {
		return apiclient.New(apiclient.Config{URL: address})
	}
	cfg, err := config.Load((&serverFlags{}).origin(inv))
	if err != nil {
		return nil, err
	}
	if address != "" {
		return secureClient(cfg, address)
	}
	socket := datadir.Socket(cfg.Data)
	if strings.HasSuffix(cfg.Listen, ":0") {
		return apiclient.New(apiclient.Config{Socket: socket, DataDir: cfg.Data})
	}
	client, err := doctor.Listener(cfg, cfg.Listen)
	if errors.Is(err, fs.ErrNotExist) && listens(socket) {
		return apiclient.New(apiclient.Config{Socket: socket, DataDir: cfg.Data})
	}
	return client, err
}

// secureClient asks what listens at an https URL, which is known by the certificate
// of the configuration, or where that has none by its name.
func secureClient(cfg *config.Config, address string) (*apiclient.Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%w: --url: want https://HOST:PORT", errUsage)
	}
	if cfg.TLS.CertFile == "" && len(cfg.TLS.ACME.Hosts) == 0 {
		return apiclient.New(apiclient.Config{URL: address})
	}
	return doctor.Listener(cfg, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")))
}
