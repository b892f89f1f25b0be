package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/config"
)

// readyLimit is how long an answer is waited for.
const readyLimit = 5 * time.Second

func newReady(inv *invocation) *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "ready",
		Short: "Ask the process on this machine whether it is ready, for health checks",
		Long: `ready asks /readyz of the process that the same configuration started, and ends with 0 where it
is ready. A container that has no curl is checked by it. It does not speak TLS: where the
process does, ask another way.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if address == "" {
				cfg, err := config.Load(config.Origin{File: inv.config, Environ: inv.environ})
				if err != nil {
					return err
				}
				address = "http://" + loopbackOf(cfg.Listen)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), readyLimit)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/readyz", nil)
			if err != nil {
				return fmt.Errorf("%w: --url: want http://HOST:PORT", errUsage)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
			if err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s", text)
			}
			_, err = inv.stdout.Write(text)
			return err
		},
	}
	cmd.Flags().StringVar(&address, "url", "", "where it listens (default: http:// and the configuration's listen)")
	return cmd
}

// loopbackOf is how a process on the same machine reaches an address that is
// listened on.
func loopbackOf(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
