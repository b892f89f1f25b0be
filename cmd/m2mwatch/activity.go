package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// activity is what the running instance has stored of an application, as
// provision.Activity asks for it.
type activity struct {
	client *apiclient.Client
	where  map[string]string
}

// maxSources is how many rows of counts are asked for: a place is one a day.
const maxSources = 10_000

// newActivity finds the running instance, and the tenant there that has the
// application: one where it succeeded, since anybody can fail with any id.
func newActivity(ctx context.Context, inv *invocation, clientID string) (*activity, error) {
	client, err := inv.client()
	if err != nil {
		return nil, err
	}
	a := &activity{client, map[string]string{"client_id": schemas.QuoteFilter(clientID), "identity": schemas.QuoteFilter(schemas.AppID(clientID))}}
	where := a.conditions(provision.Window{Outcome: string(schemas.OutcomeSuccess)})
	page, err := client.Stats(ctx, apiclient.StatsQuery{Where: where, By: []string{"tenant"}})
	if err != nil {
		return nil, err
	}
	if len(page.Rows) > 0 {
		a.where["tenant"] = page.Rows[0].Values[0]
	}
	return a, nil
}

// refusedCauses are those of a wrong secret and of a wrong key.
const refusedCauses = string(schemas.CauseCredentials) + "," + string(schemas.CauseAssertion)

func (a *activity) conditions(w provision.Window) map[string]string {
	where := map[string]string{"outcome": w.Outcome, "type": w.Types}
	if w.Network != "" {
		where["network"] = schemas.QuoteFilter(w.Network)
	}
	if w.Refused {
		where["outcome"], where["cause"] = string(schemas.OutcomeFailure), refusedCauses
	}
	maps.Copy(where, a.where)
	return where
}

// moment is a time as the API reads it, "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// Places implements provision.Activity.
func (a *activity) Places(ctx context.Context, w provision.Window) ([]provision.Place, error) {
	q := apiclient.StatsQuery{
		Where: a.conditions(w), By: []string{"network", "user_agent_class", "audience"}, Interval: "day", From: moment(w.From), To: moment(w.To), Limit: maxSources,
	}
	if w.Networks {
		q.By, q.Interval = q.By[:1], ""
	}
	page, err := a.client.Stats(ctx, q)
	if err != nil {
		return nil, err
	}
	if page.Truncated {
		return nil, fmt.Errorf("it was used from more than %d places: ask for a shorter time", maxSources)
	}
	var places []provision.Place
	index := map[provision.Place]int{}
	for _, row := range page.Rows {
		key := provision.Place{Network: row.Values[0]}
		if !w.Networks {
			key.Runtime, key.API = row.Values[1], row.Values[2]
		}
		i, has := index[key]
		if !has {
			i = len(places)
			index[key] = i
			places = append(places, key)
		}
		places[i].Count += row.Count
		if row.Time.After(places[i].Last) {
			places[i].Last = row.Time
		}
	}
	return places, nil
}

// Newest implements provision.Activity.
func (a *activity) Newest(ctx context.Context, w provision.Window, limit int) ([]provision.Sighting, error) {
	page, err := a.client.Events(ctx, apiclient.EventQuery{Where: a.conditions(w), From: moment(w.From), To: moment(w.To), Limit: limit})
	if err != nil {
		return nil, err
	}
	var list []provision.Sighting
	for i := range page.Events {
		e := &page.Events[i]
		list = append(list, provision.Sighting{Time: e.Time, Network: e.Network, Runtime: e.UserAgentClass, API: e.Audience})
	}
	return list, nil
}

// usedWithin is how far back a command looks for where an application was used.
const usedWithin = 30 * 24 * time.Hour

// tellLimit bounds how long a command that changes something waits for the
// instance to tell of the application.
const tellLimit = 20 * time.Second

// tellUsage says when and from where an application was last used, before it is
// changed for good. That it is not known keeps nobody from going on.
func tellUsage(ctx context.Context, inv *invocation, clientID string) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	usage, err := usageOf(ctx, inv, clientID, time.Now().Add(-usedWithin))
	if err != nil {
		fmt.Fprintln(inv.stderr, "when it was last used is not known:", legible(err.Error()))
		return
	}
	if usage.Last == nil {
		fmt.Fprintln(inv.stderr, "it was never used, as far as is stored")
		return
	}
	fmt.Fprintln(inv.stderr, lastUse(usage.Last))
	if len(usage.Places) > 0 {
		_ = writePlaces(inv.stderr, usage.Places[:min(len(usage.Places), maxShown)]) // as any other message
	}
	if more := len(usage.Places) - maxShown; more > 0 {
		fmt.Fprintf(inv.stderr, "and %d places more: m2mwatch apps usage %s\n", more, printable(clientID))
	}
}

func usageOf(ctx context.Context, inv *invocation, clientID string, from time.Time) (provision.Usage, error) {
	a, err := newActivity(ctx, inv, clientID)
	if err != nil {
		return provision.Usage{}, err
	}
	defer a.client.Close()
	return provision.UsageOf(ctx, a, from)
}

// lastUse is a sentence about the last use of an application.
func lastUse(s *provision.Sighting) string {
	words := []string{"last used", clock(s.Time)}
	for _, part := range []struct{ word, value string }{{"from", s.Network}, {"by", s.Runtime}, {"for", s.API}} {
		if part.value != "" {
			words = append(words, part.word, printable(part.value))
		}
	}
	return strings.Join(words, " ")
}

func writePlaces(out io.Writer, places []provision.Place) error {
	w := table(out)
	writeRow(w, []string{"NETWORK", "RUNTIME", "EVENTS", "LAST", "API"})
	for _, p := range places {
		writeRow(w, []string{p.Network, p.Runtime, count(p.Count), p.Last.UTC().Format(time.DateOnly), p.API})
	}
	return w.Flush()
}

// tellTokens says how long the tokens that an application has stay good, and how
// many they are where the running instance knows: Auth0 cannot take them back.
func tellTokens(ctx context.Context, inv *invocation, clientID string, valid []provision.Validity) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	now := time.Now()
	a, err := newActivity(ctx, inv, clientID)
	if err == nil {
		defer a.client.Close()
	}
	for _, v := range valid {
		if v.Unknown != nil {
			fmt.Fprintf(inv.stderr, "until when tokens of %s that it has stay good is unknown: %s\n", printable(v.Audience), legible(v.Unknown.Error()))
			continue
		}
		known := ""
		if err == nil {
			var n uint64
			if n, err = issuedSince(ctx, a, v.Audience, now.Add(-v.For)); err == nil {
				known = fmt.Sprintf("; %d were issued within that time", n)
			}
		}
		fmt.Fprintf(inv.stderr, "tokens of %s that it has stay good until %s at most, by the API's token lifetime of now%s\n", printable(v.Audience), clock(now.Add(v.For)), known)
	}
	if err != nil {
		fmt.Fprintln(inv.stderr, "how many they are is not known:", legible(err.Error()))
	}
}

// issuedSince counts the tokens of an API that an application got.
func issuedSince(ctx context.Context, a *activity, audience string, since time.Time) (n uint64, err error) {
	places, err := a.Places(ctx, provision.Window{Types: "seccft", From: since})
	for _, p := range places {
		if p.API == audience {
			n += p.Count
		}
	}
	return n, err
}
