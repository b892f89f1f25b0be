package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/config"
	"github.com/m2mwatch/m2mwatch/internal/datadir"
	"github.com/m2mwatch/m2mwatch/schemas"
)

const (
	demoTenant  = "acme"
	demoHistory = 30 * 24 * time.Hour
	storyLimit  = 15 * time.Minute // a machine that does much else takes minutes
	storyRule   = "MI-02"          // of a working client that started failing
)

// demoFlags are what can be chosen about a demo.
type demoFlags struct {
	server serverFlags
	seed   uint64
	events int
	script bool
}

func newDemo(inv *invocation) *cobra.Command {
	flags := &demoFlags{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole pipeline with a simulated tenant",
		Long: `demo runs "up" with a simulated Auth0 tenant: 30 days of history, then live events over real
HTTP. After some seconds a client's secret is rotated, its consumer is not updated, and it stops
working; the story ends with your own ` + "`apps disable`" + `. Nothing leaves this machine. The data stays in data-demo (or --data) for the next start.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), inv, flags) },
	}
	flags.server.add(cmd, false)
	cmd.Flags().Uint64Var(&flags.seed, "seed", 1, "makes another tenant")
	cmd.Flags().IntVar(&flags.events, "events", 200_000, "events in the history")
	cmd.Flags().BoolVar(&flags.script, "script", false, "tell the story at a quicker pace, with times masked, and end")
	return cmd
}

// demo is a running demo.
type demo struct {
	flags  *demoFlags
	inv    *invocation
	say    *narrator
	server *server
	sim    *auth0sim.Tenant
	client *apiclient.Client
	secret string

	listener net.Listener    // of the simulated tenant
	watcher  auth0sim.Client // whom the server is there

	operator string // the client id of the reader's application
}

func runDemo(ctx context.Context, inv *invocation, flags *demoFlags) error {
	if inv.data == "" {
		inv.data = demoData
	}
	if flags.server.logLevel == "" {
		flags.server.logLevel = "error" // the terminal is for the story
	}
	d := &demo{flags: flags, inv: inv, say: newNarrator(inv.stdout, flags.script), secret: rand.Text()}
	stop, err := d.simulate(ctx)
	if err != nil {
		return err
	}
	defer stop()
	d.say.line("demo · tenant %s (simulated) · nothing leaves this machine", demoTenant)

	s, err := d.newServer()
	if err != nil {
		return err
	}
	d.server = s
	defer s.stop()
	if err := s.start(ctx); err != nil {
		return unlessStopped(ctx, err)
	}
	if d.client, err = apiclient.New(apiclient.Config{Socket: s.dir.Socket(), DataDir: s.dir.Path()}); err != nil {
		return err
	}
	s.life.closes("api client", d.client)
	return d.run(ctx)
}

// simulate serves the tenant on loopback. One whose history is kept is the same
// again.
func (d *demo) simulate(ctx context.Context) (stop func(), err error) {
	seed := d.flags.seed
	if mark, err := readMark(filepath.Join(d.inv.data, "history.json")); err == nil {
		seed = mark.Seed
	}
	d.sim = auth0sim.New(auth0sim.Config{Name: demoTenant, Seed: seed, Duplicates: 0.05, Reorder: 0.05})
	d.watcher = d.sim.AddOperator("m2mwatch", "read:clients", "read:client_grants", "read:client_credentials", "read:resource_servers", "read:roles", "read:users", "read:log_streams")
	var lc net.ListenConfig
	if d.listener, err = lc.Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("listen for the simulated tenant: %w", err)
	}
	srv := &http.Server{Handler: d.sim.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(d.listener) }() // it ends when it is closed
	return func() { _ = srv.Close() }, nil
}

// tenant is how the server knows the simulated one: by its log stream, and by an
// application that may only read.
func (d *demo) tenant() map[string]any {
	return map[string]any{
		"name": demoTenant, "secrets": []any{d.secret}, "domain": d.listener.Addr().String(),
		"management": map[string]any{"client_id": d.watcher.ID, "client_secret": d.watcher.Secret, "audience": d.watcher.Audience, "pull": config.PullNever},
	}
}

func (d *demo) newServer() (*server, error) {
	origin := d.flags.server.origin(d.inv)
	// Nothing of the environment: what is simulated must not reach a real
	// broker, store or receiver.
	origin.File, origin.Environ = "", nil
	for _, name := range []string{"M2MWATCH_ENGINE_LIBRARY", "M2MWATCH_CLICKHOUSE_LIBRARY"} {
		if library := lookup(d.inv.environ, name); library != "" {
			origin.Flags["clickhouse.library"] = library
		}
	}
	origin.Flags["tenants"] = []any{d.tenant()}
	cfg, err := config.Load(origin)
	if err != nil {
		return nil, err
	}
	return newServer(d.inv, cfg, origin, serveOptions{
		stages:  []stage{stageIngest, stageProcess, stageQuery},
		purpose: datadir.Demo,
	})
}

// run tells the demo from history to finding, then lives on until it is
// stopped.
func (d *demo) run(ctx context.Context) error {
	last, err := d.history(ctx)
	if err != nil {
		return ignoreCanceled(err)
	}
	if err := d.ready(ctx, !last.IsZero()); err != nil {
		return ignoreCanceled(err)
	}
	before, err := d.found(ctx)
	if err != nil {
		return ignoreCanceled(err)
	}
	simulated, err := d.goLive()
	if err != nil {
		return err
	}
	if before != nil {
		d.say.line("found at an earlier start, so that there is no other story today:")
		d.tell(*before)
	} else if err := d.story(ctx, simulated, last); err != nil {
		return ignoreCanceled(err)
	}
	if d.flags.script {
		return nil
	}
	if err := d.invite(ctx, simulated); err != nil {
		return ignoreCanceled(err)
	}
	return d.server.life.wait(ctx)
}

// historyMark says what history a demo's data directory holds, so that a
// start that was interrupted sends the same again.
type historyMark struct {
	Seed   uint64    `json:"seed"`
	To     time.Time `json:"to"`
	Events int       `json:"events"`
	Done   bool      `json:"done"`
}

// history sends 30 days of events where they are not there yet, and returns
// when the story's client got its last token in them; zero where the history
// is of an earlier start.
func (d *demo) history(ctx context.Context) (time.Time, error) {
	path := filepath.Join(d.server.dir.Path(), "history.json")
	mark, err := readMark(path)
	if errors.Is(err, fs.ErrNotExist) {
		mark = historyMark{Seed: d.flags.seed, To: time.Now().UTC().Truncate(time.Second), Events: d.flags.events}
		err = writeMark(path, mark)
	}
	if err != nil {
		return time.Time{}, err
	}
	if mark.Done {
		d.say.line("history  kept from an earlier start: %s events until %s", thousands(mark.Events), mark.To.Local().Format(time.DateTime))
		// The last stop may have left records that were taken in and not stored.
		return time.Time{}, d.settled(ctx)
	}
	begun := time.Now()
	if err := d.send(ctx, mark); err != nil {
		return time.Time{}, err
	}
	if err := d.settled(ctx); err != nil {
		return time.Time{}, err
	}
	mark.Done = true
	d.say.line("history  30 days  %s events  %d machines  %s people   done in %.1f s",
		thousands(mark.Events), d.sim.Machines(), thousands(d.sim.People()), time.Since(begun).Seconds())
	return d.sim.Story().LastToken(mark.To), writeMark(path, mark)
}

// send imports the history through the API, as `m2mwatch import` would.
func (d *demo) send(ctx context.Context, mark historyMark) error {
	r, w := io.Pipe()
	go func() {
		w.CloseWithError(d.sim.WriteHistory(w, mark.To.Add(-demoHistory), mark.To, mark.Events))
	}()
	defer r.Close()
	bar := newProgress(d.inv.stderr, "history")
	defer bar.done()
	_, err := importLines(ctx, d.client, demoTenant, r, func(a schemas.Accepted) {
		bar.show(int64(a.Accepted), int64(mark.Events), thousands(a.Accepted)+" events")
	})
	return err
}

func readMark(path string) (mark historyMark, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return mark, err
	}
	if err := json.Unmarshal(b, &mark); err != nil {
		return mark, fmt.Errorf("read %s: %w; delete the demo's data directory to begin anew", path, err)
	}
	return mark, nil
}

func writeMark(path string, mark historyMark) error {
	b, err := json.Marshal(mark)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// settled waits until everything accepted is stored and judged. A status takes the
// engine some 20 ms of CPU while much waits, which is none that judges: one in five
// looks asks for it.
func (d *demo) settled(ctx context.Context) error {
	looks := 0
	return d.poll(ctx, func() (bool, error) {
		if looks++; looks%5 != 1 {
			return false, nil
		}
		s, err := d.client.Status(ctx)
		return err == nil && s.Pending != nil && *s.Pending == 0 && s.Uncorrelated == 0, err
	})
}

// poll is poll, and ends when a component of the demo fails.
func (d *demo) poll(ctx context.Context, look func() (bool, error)) error {
	return poll(ctx, func() (bool, error) {
		select {
		case <-d.server.life.failed:
			return false, d.server.life.err
		default:
			return look()
		}
	})
}

// poll looks five times a second until it is told to stop, the way is barred
// or ctx ends.
func poll(ctx context.Context, look func() (bool, error)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := look(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return context.Cause(ctx)
			}
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// ready says where the API is and compares what was sent with what is counted.
// The delay is told of a history sent now; a start that kept its history has
// stored only what the last one left, if anything.
func (d *demo) ready(ctx context.Context, sent bool) error {
	mark, err := readMark(filepath.Join(d.server.dir.Path(), "history.json"))
	if err != nil {
		return err
	}
	stats, err := d.client.Stats(ctx, apiclient.StatsQuery{Where: map[string]string{"tenant": demoTenant}, By: []string{"source"}})
	if err != nil {
		return err
	}
	imported := 0
	for _, row := range stats.Rows {
		if row.Values[0] == schemas.SourceImport.String() {
			imported = int(row.Count)
		}
	}
	status, err := d.client.Status(ctx)
	if err != nil {
		return err
	}
	delay := ""
	if sent && status.DelaySeconds != nil {
		delay = fmt.Sprintf("delay %.1f s   ", *status.DelaySeconds)
	}
	d.say.line("ready    http://%s   pending %s   %smissing %d   double %d",
		d.server.address, orUnknown(status.Pending), delay, max(0, mark.Events-imported), max(0, imported-mark.Events))
	return nil
}

// goLive points the simulated tenant's log stream at the webhook and lets its
// machines and people act. It returns the tenant's base URL.
func (d *demo) goLive() (string, error) {
	life := d.server.life
	if err := d.writeOperator(d.listener.Addr().String()); err != nil {
		return "", err
	}
	d.sim.AddLogStream(auth0sim.Stream{
		Endpoint:      "http://" + d.server.address + "/v1/logs/" + demoTenant,
		Authorization: d.secret,
		Format:        auth0sim.FormatJSONArray,
	})
	life.run("simulated log stream", func(ctx context.Context) error { d.sim.Run(ctx); return nil })
	life.run("simulated traffic", func(ctx context.Context) error { d.sim.Live(ctx); return nil })
	return "http://" + d.listener.Addr().String(), nil
}

// operatorFile has the environment of who operates the simulated tenant.
func (d *demo) operatorFile() string { return filepath.Join(d.inv.data, "operator.env") }

// writeOperator makes an application that may call all of the Management API, and
// has a shell read who that is, so that a reader can try to provision.
func (d *demo) writeOperator(domain string) error {
	c := d.sim.AddOperator("operator")
	d.operator = c.ID
	text := fmt.Sprintf("export AUTH0_DOMAIN=%s\nexport AUTH0_CLIENT_ID=%s\nexport AUTH0_CLIENT_SECRET=%s\nunset AUTH0_PRIVATE_KEY_FILE\n", domain, c.ID, c.Secret)
	// The secret is for streams and actions, which make who sends to the webhook.
	err := errors.Join(os.WriteFile(d.operatorFile(), []byte(text), 0o600), os.WriteFile(filepath.Join(d.inv.data, "webhook.secret"), []byte(d.secret+"\n"), 0o600))
	if err != nil {
		return fmt.Errorf("keep who operates the simulated tenant: %w", err)
	}
	return nil
}

// story lets the client stop working and waits until that is found.
func (d *demo) story(ctx context.Context, simulated string, lastToken time.Time) error {
	cfg := auth0sim.StoryConfig{BaseURL: simulated, LastToken: lastToken, Tries: 9}
	if d.flags.script {
		cfg.Delay, cfg.Pause = 2*time.Second, 200*time.Millisecond
	}
	d.server.life.run("story", func(ctx context.Context) error { return d.sim.Story().Run(ctx, cfg) })
	var found *schemas.Finding
	ctx, cancel := context.WithTimeoutCause(ctx, storyLimit, errors.New("the story was not found in time: what does `m2mwatch status` say?"))
	defer cancel()
	err := d.poll(ctx, func() (bool, error) {
		var err error
		found, err = d.found(ctx)
		return found != nil && found.Count >= uint64(cfg.Tries), err
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	d.tell(*found)
	return nil
}

// found is the open finding of the story, nil where there is none. Other rules have
// findings about its client too, and tell them in their own words.
func (d *demo) found(ctx context.Context) (*schemas.Finding, error) {
	page, err := d.client.Findings(ctx, apiclient.FindingQuery{Tenant: demoTenant, RuleID: storyRule, Key: d.sim.Story().ClientID(), State: string(schemas.StateOpen)})
	if err != nil || len(page.Findings) == 0 {
		return nil, err
	}
	return &page.Findings[0], nil
}

// tell says in plain words what was found.
func (d *demo) tell(f schemas.Finding) {
	d.say.line("%s  %s  %s stopped: %d failures from its own network; normal %.0f tokens a day",
		hour(f.First), upper(f.Level), d.sim.Story().ClientName(), f.Count, f.Evidence.NormalPerDay)
	for _, r := range f.Evidence.Related {
		d.say.line("             secret rotated %s, consumer not updated", hour(r.Time))
	}
	d.say.line("   why       %s findings show %s", d.inv.name, f.ID)
}
