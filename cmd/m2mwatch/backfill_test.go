package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// newBackfiller is a tenant with 20 hours of history, an instance that only its log
// stream reaches, and an operator with read:logs.
func newBackfiller(t *testing.T) (*pulledTenant, *instance) {
	t.Helper()
	p := newPulledTenant(t, 1500, ", pull: never", true)
	p.environ = append(p.environ, fastPull)
	return p, p.up()
}

// dates are when the logs of the tenant came about, by log_id.
func (p *pulledTenant) dates() map[string]time.Time {
	p.t.Helper()
	dates := map[string]time.Time{}
	for id := range p.logged() {
		var raw json.RawMessage
		p.admin("GET", "logs/"+id, nil, &raw)
		dates[id] = dateOf(raw)
	}
	return dates
}

func TestBackfillBringsInWhatAuth0Keeps(t *testing.T) {
	p, i := newBackfiller(t)
	dry, _ := p.must("backfill", "--tenant", "acme", "--data", p.data, "--dry-run")
	all := p.logged() // the command's token is the same in all runs
	if len(all) < 1500 || !strings.HasPrefix(dry, fmt.Sprintf("would send %d events; of ", len(all))) {
		t.Errorf("of %d the dry run says %s", len(all), dry)
	}
	i.settle()
	if n := len(i.listed("")); n != 0 {
		t.Errorf("the dry run has sent %d events", n)
	}
	for range 2 { // the second repeats nothing
		out, said := p.must("backfill", "--tenant", "acme", "--data", p.data)
		if !strings.HasPrefix(out, fmt.Sprintf("%d events accepted, 0 of them unreadable; of ", len(all))) || !strings.Contains(said, "Auth0 has logs from ") {
			t.Errorf("it says %s%s", out, said)
		}
		i.settle()
		i.checkOnce(all)
	}
	if got := i.bySource(); got["import"] != len(all) {
		t.Errorf("stored by source %v", got)
	}
	i.interrupt()
	if strings.Contains(p.seen.String()+i.log(), p.client.Secret) {
		t.Error("the secret was printed")
	}
}

func TestBackfillOfAPeriodSendsThatAlone(t *testing.T) {
	p, i := newBackfiller(t)
	from, to := time.Now().Add(-9*time.Hour).UTC().Truncate(time.Second), time.Now().Add(-5*time.Hour).UTC().Truncate(time.Second)
	want := map[string]bool{}
	for id, at := range p.dates() {
		if !at.Before(from) && at.Before(to) {
			want[id] = true
		}
	}
	out, said := p.must("backfill", "--tenant", "acme", "--data", p.data, "--from", from.Format(time.RFC3339), "--to", to.Format(time.RFC3339), "--json")
	var done backfilled
	if err := json.Unmarshal([]byte(out), &done); err != nil {
		t.Fatal(err)
	}
	if done.Accepted != len(want) || done.Logs != len(want) || len(want) < 100 || done.Kept == nil || done.First.Before(from) || done.Last.After(to) {
		t.Errorf("%d are wanted; it says %s", len(want), out)
	}
	if strings.Contains(said, "beyond the retention") {
		t.Errorf("all of it is there, and it says %s", said)
	}
	i.settle()
	i.checkOnce(want)

	// From the middle on it does not read what is before.
	p.tenant.Inject(auth0sim.Fault{Path: "/api/v2/logs", Skip: 6, Times: -1, Status: http.StatusBadRequest})
	p.must("backfill", "--tenant", "acme", "--data", p.data, "--from", "2h", "--dry-run")
	i.interrupt()
}

func TestBackfillSurvivesWhatAuth0Answers(t *testing.T) {
	p, i := newBackfiller(t)
	const logs = "/api/v2/logs"
	p.tenant.Inject(auth0sim.Fault{Path: logs, Skip: 3, Status: http.StatusTooManyRequests})
	p.tenant.Inject(auth0sim.Fault{Path: logs, Skip: 5, Drop: true})
	_, said := p.must("backfill", "--tenant", "acme", "--data", p.data)
	if !strings.Contains(said, "too many requests: waiting") {
		t.Errorf("it does not tell that it waits: %s", said)
	}
	i.settle()
	all := p.logged()
	if n := len(i.listed("")); n < 1500 || n > len(all) {
		t.Errorf("%d are stored, of %d", n, len(all))
	}

	// What does not end by itself says how to go on.
	p.tenant.Inject(auth0sim.Fault{Path: logs, Skip: 4, Times: -1, Status: http.StatusBadRequest})
	_, said, code := p.run("", "backfill", "--tenant", "acme", "--data", p.data)
	if code != exitError || !strings.Contains(said, "go on with --from 20") || !strings.Contains(said, "nothing is stored twice") {
		t.Errorf("exit %d, %s", code, said)
	}
	i.interrupt()
}

func TestBackfillSaysWhatIsWrong(t *testing.T) {
	p, i := newBackfiller(t)
	p.fails(exitUsage, "--tenant", "backfill", "--data", p.data)
	p.fails(exitUsage, "--from is not before --to", "backfill", "--tenant", "acme", "--from", "1h", "--to", "2h")
	p.fails(exitUsage, `--from "soon"`, "backfill", "--tenant", "acme", "--from", "soon")
	p.fails(exitError, "No tenant of this name is configured", "backfill", "--tenant", "globex", "--data", p.data)
	p.fails(exitUsage, "the configuration has "+strings.TrimPrefix(p.base, "http://")+" as the domain of tenant acme", "backfill", "--config", p.config, "--tenant", "acme", "--domain", "other.eu.auth0.com")
	p.become("read:clients")
	p.fails(exitError, "backfill needs: read:logs", "backfill", "--tenant", "acme", "--data", p.data)
	i.interrupt()
}

// Without flags and environment it is who the configuration says.
func TestBackfillIsWhoTheConfigurationSays(t *testing.T) {
	p, i := newBackfiller(t)
	p.environ = []string{fastPull}
	out, _ := p.must("backfill", "--config", p.config, "--tenant", "acme", "--data", p.data, "--from", "2h")
	n, _, _ := strings.Cut(out, " ")
	if count, err := strconv.Atoi(n); err != nil || count == 0 {
		t.Errorf("it says %s", out)
	}
	i.interrupt()
}

// knownIDs answers behind ids that there are alone, as nobody says that Auth0 does not.
type knownIDs []string

func (k knownIDs) Logs(_ context.Context, from string) (logs []json.RawMessage, next string, err error) {
	next = from
	if from != "" && !slices.Contains(k, from) {
		return nil, from, nil
	}
	for _, id := range k {
		if id > from && len(logs) < 2 {
			logs, next = append(logs, json.RawMessage(`{"log_id":"`+id+`"}`)), id
		}
	}
	return logs, next, nil
}

func (k knownIDs) OldestLog(context.Context) (string, error) { return k[0], nil }
func (k knownIDs) NewestLog(context.Context) (string, error) { return k[len(k)-1], nil }

func TestBackfillBeginsAtTheOldestWhereAMadeUpCheckpointIsNone(t *testing.T) {
	var ids knownIDs
	begun := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for n := range 7 {
		ids = append(ids, auth0.Checkpoint(begun.Add(time.Duration(n)*time.Hour)))
	}
	var sent []string
	b := backfill{from: begun.Add(210 * time.Minute), logs: ids, bar: newProgress(io.Discard, ""), send: func(_ context.Context, logs []json.RawMessage) (schemas.Accepted, error) {
		for _, raw := range logs {
			sent = append(sent, string(raw))
		}
		return schemas.Accepted{Accepted: len(logs)}, nil
	}}
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, id := range ids[4:] {
		want = append(want, `{"log_id":"`+id+`"}`)
	}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Error(diff)
	}
}

// lateLogs are logs by the second that Auth0 took them in; late is by how much the
// date of each is earlier.
type lateLogs struct {
	knownIDs
	late map[string]time.Duration
}

func (l lateLogs) Logs(ctx context.Context, from string) (logs []json.RawMessage, next string, err error) {
	known := append(knownIDs{from}, l.knownIDs...) // it takes any id
	logs, next, err = known.Logs(ctx, from)
	for n, raw := range logs {
		id := idOf(raw)
		at, _ := schemas.LogIDTime(id)
		logs[n] = fmt.Appendf(nil, `{"log_id":%q,"date":%q}`, id, at.Add(-l.late[id]).Format(time.RFC3339))
	}
	return logs, next, err
}

func TestBackfillGoesOnBeforeWhatWasTakenInLate(t *testing.T) {
	begun := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	logs := lateLogs{late: map[string]time.Duration{}}
	for n := range 6 {
		logs.knownIDs = append(logs.knownIDs, auth0.Checkpoint(begun.Add(time.Duration(n)*time.Minute)))
	}
	logs.late[logs.knownIDs[2]] = 5 * time.Minute // on the second page, before what is on the first
	sent, refused := map[string]bool{}, errors.New("refused")
	run := func(from time.Time, pages int) error {
		b := backfill{from: from, logs: logs, bar: newProgress(io.Discard, ""), send: func(_ context.Context, logs []json.RawMessage) (schemas.Accepted, error) {
			if pages--; pages < 0 {
				return schemas.Accepted{}, refused
			}
			for _, raw := range logs {
				sent[idOf(raw)] = true
			}
			return schemas.Accepted{Accepted: len(logs)}, nil
		}}
		if err := b.run(t.Context()); err != nil {
			return b.resume(err)
		}
		return nil
	}
	err := run(time.Time{}, 1)
	if !errors.Is(err, refused) || len(sent) != 2 {
		t.Fatalf("%d are sent, %v", len(sent), err)
	}
	_, said, _ := strings.Cut(err.Error(), "--from ")
	said, _, _ = strings.Cut(said, ";")
	from, err := time.Parse(time.RFC3339, said)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(from, 10); err != nil || len(sent) != len(logs.knownIDs) {
		t.Errorf("from %s on: %d of %d are sent, %v", said, len(sent), len(logs.knownIDs), err)
	}

	// It goes no further back than was asked for.
	from = begun.Add(-time.Minute)
	if err := run(from, 1); err == nil || !strings.Contains(err.Error(), "--from "+from.Format(time.RFC3339)+";") {
		t.Errorf("asked for from %s on it says %v", from.Format(time.RFC3339), err)
	}
}
