package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/processor/notify"
	"github.com/m2mwatch/m2mwatch/schemas"
)

func newNotify(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "notify", Short: "Where alerts go"}
	cmd.AddCommand(newNotifyList(inv), newNotifyTest(inv))
	return cmd
}

func newNotifyList(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List channels, with their last delivery and how they do",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := inv.client()
			if err != nil {
				return err
			}
			s, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				list := s.Channels
				if list == nil {
					list = []schemas.ChannelView{}
				}
				return inv.printJSON(map[string][]schemas.ChannelView{"channels": list})
			}
			return writeChannels(inv, s.Channels)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

func writeChannels(inv *invocation, channels []schemas.ChannelView) error {
	if len(channels) == 0 {
		fmt.Fprintln(inv.stderr, "no channels: findings are stored and nobody is told (notify.channels in the configuration)")
		return nil
	}
	w := table(inv.stdout)
	fmt.Fprintln(w, "CHANNEL\tTYPE\tHEALTH\tWAITING\tDELIVERED\tSUMMARISED\tREFUSED\tLAST DELIVERY\tERROR")
	for _, c := range channels {
		last := ""
		if c.LastDelivery != nil {
			last = clock(*c.LastDelivery)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", printable(c.Name), c.Type, c.Health, orUnknown(c.Waiting), c.Delivered, c.Summarised, c.Refused, last, printable(c.Error))
	}
	return w.Flush()
}

// channelState is how a channel does, in one line.
func channelState(c schemas.ChannelView) string {
	state := map[string]string{
		schemas.ChannelOK: "delivers", schemas.ChannelUntried: "no alert in 30 days", schemas.ChannelFailing: "FAILING", schemas.ChannelRefusing: "REFUSED the last alert",
	}[c.Health]
	if c.LastDelivery != nil && c.Health == schemas.ChannelOK {
		state += ", last at " + clock(*c.LastDelivery)
	}
	if c.FailingSince != nil && c.Health == schemas.ChannelFailing {
		state += " since " + clock(*c.FailingSince)
	}
	if c.Error != "" {
		state += ": " + printable(c.Error)
	}
	if c.Waiting != nil && *c.Waiting > 0 {
		state += fmt.Sprintf("; alerts that wait: %d", *c.Waiting)
	}
	return state
}

func newNotifyTest(inv *invocation) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "test CHANNEL",
		Short: "Send a channel an alert that is marked as a test, and print what it answers",
		Long: `test sends one alert, which says that it is a test, from here: it reads the configuration and needs
no running instance. To PagerDuty and Alertmanager a resolve follows. Nothing of it is stored.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: notify test takes one channel", errUsage)
			}
			return testChannel(cmd.Context(), inv, args[0], asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	return cmd
}

// channelTest is what the command answers in JSON.
type channelTest struct {
	Channel string   `json:"channel"`
	Type    string   `json:"type"`
	OK      bool     `json:"ok"`
	Answers []string `json:"answers,omitempty"`
	Error   string   `json:"error,omitempty"`
}

func testChannel(ctx context.Context, inv *invocation, name string, asJSON bool) error {
	// What is wrong elsewhere, such as a tenant's secret that whoever tries the
	// channel may not read, does not matter here.
	cfg, err := config.Inspect((&serverFlags{}).origin(inv))
	all := cfg.Notify.All()
	at := slices.IndexFunc(all, func(c config.Channel) bool { return c.Name == name })
	if at < 0 && err != nil {
		return err
	}
	if at < 0 {
		return fmt.Errorf("%w: there is no channel %q: %s", errUsage, name, knownChannels(all))
	}
	test := channelTest{Channel: name, Type: all[at].Type}
	test.Answers, err = tryChannel(ctx, all[at], link(cfg))
	test.OK = err == nil
	if err != nil {
		test.Error = err.Error()
	}
	if asJSON {
		return errors.Join(inv.printJSON(test), err)
	}
	for _, answer := range test.Answers {
		fmt.Fprintln(inv.stdout, printable(answer))
	}
	if err != nil {
		return fmt.Errorf("channel %s: %w", name, err)
	}
	fmt.Fprintf(inv.stderr, "channel %s has taken the test\n", name)
	return nil
}

func knownChannels(all []config.Channel) string {
	if len(all) == 0 {
		return "none is configured (notify.channels)"
	}
	var names []string
	for _, c := range all {
		names = append(names, c.Name)
	}
	return "there are " + strings.Join(names, ", ")
}

// tryChannel sends a test, and where it would stay open its end.
func tryChannel(ctx context.Context, c config.Channel, link func(schemas.Alert) string) (answers []string, err error) {
	heard := &hearing{inner: http.DefaultTransport, secrets: c.Secrets()}
	if u, err := url.Parse(c.URL.Reveal()); err == nil && (c.Type == config.ChannelSlack || c.Type == config.ChannelWebhook) {
		heard.secrets = append(heard.secrets, config.Secret(strings.Trim(u.Path, "/")), config.Secret(u.RawQuery)) // tokens, often
	}
	channel, err := newChannel(c, notify.HTTP{Transport: heard})
	if err != nil {
		return nil, err
	}
	if closer, ok := channel.(io.Closer); ok {
		defer closer.Close()
	}
	a := testAlert(time.Now())
	if link != nil {
		a.URL = link(a)
	}
	err = channel.Deliver(ctx, a)
	if err == nil && (c.Type == config.ChannelPagerDuty || c.Type == config.ChannelAlertmanager) {
		a.ID, a.Finding.State = a.Finding.ID+"/withdrawn/2", schemas.StateWithdrawn
		err = channel.Deliver(ctx, a)
	}
	return heard.answers, err
}

func testAlert(now time.Time) schemas.Alert {
	now = now.UTC().Truncate(time.Millisecond)
	host, _ := os.Hostname()
	id := "test-" + strings.ToLower(rand.Text()[:12])
	return schemas.Alert{ID: id + "/open/1", Test: true, Finding: schemas.Finding{
		ID: id, RuleID: "TEST", Title: "A test of this channel", Tenant: "test", Identity: "app:test",
		Level: schemas.LevelInformational, State: schemas.StateOpen, First: now, Last: now, Count: 1,
		Evidence: schemas.Evidence{Summary: "Somebody tries this channel with `m2mwatch notify test` on " + host + ". Nothing was found."},
	}}
}

// hearing keeps what receivers answer.
type hearing struct {
	inner   http.RoundTripper
	secrets []config.Secret
	answers []string
}

const maxHeard = 2000 // bytes

func (h *hearing) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := h.inner.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHeard))
	if err != nil {
		return nil, errors.Join(err, resp.Body.Close())
	}
	text := strings.TrimSpace(string(body))
	for _, s := range h.secrets {
		if len(s) >= 6 {
			text = strings.ReplaceAll(text, s.Reveal(), "<secret>")
		}
	}
	h.answers = append(h.answers, strings.TrimSpace(resp.Status+" "+text))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), resp.Body), resp.Body}
	return resp, nil
}
