package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/doctor"
	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// streamCreation makes a log stream in steps:
//
//  1. the tenant and the instance are asked, so that nothing is made twice, or that
//     nobody could see work;
//  2. the secret is on disk, then known to the webhook;
//  3. the stream is made;
//  4. something harmless is made to happen, and the event of it is waited for.
//
// A crash behind 2 leaves a file, which --from-secret-file takes; one behind 3 a
// stream, which a repeat finds by name and address.
type streamCreation struct {
	p    *provisioning
	inv  *invocation
	sink *streamSink
	new  *provision.NewStream

	instance *apiclient.Client
	answers  map[string]float64 // of the webhook by status, before
	secret   string
	created  atomic.Bool // events count from then on
}

func (c *streamCreation) run(cmd *cobra.Command, asJSON bool) error {
	ctx := cmd.Context()
	api, err := c.p.begin(cmd)
	if err != nil {
		return err
	}
	streams := &provision.Streams{API: api}
	if err := errors.Join(streams.Absent(ctx, c.new.Name, c.new.Endpoint), c.findInstance(ctx)); err != nil {
		return err
	}
	if c.secret, err = c.sink.secret(c.inv); err != nil {
		return err
	}
	c.new.Authorization = c.secret
	if c.sink.wait > 0 {
		if err := awaitSecret(ctx, c.inv, c.new.Endpoint, c.secret, c.sink.wait); err != nil {
			return err
		}
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	if c.instance != nil {
		defer c.instance.Close()
		c.answers = c.answered(ctx)
	}
	seen := c.watch(watch)
	c.created.Store(true)
	stream, err := streams.Create(ctx, *c.new)
	if stream.ID == "" {
		return err
	}
	if err := errors.Join(printDocument(c.inv, stream.Raw, asJSON), err); err != nil {
		return err
	}
	if c.instance == nil {
		return nil
	}
	return c.await(ctx, streams, stream, seen)
}

// findInstance finds who will tell of an event, unless nobody waits for one.
func (c *streamCreation) findInstance(ctx context.Context) error {
	switch {
	case c.sink.wait == 0:
		return nil
	case c.new.Priority:
		fmt.Fprintln(c.inv.stderr, "a prioritized stream delivers logs about attacks alone: none is waited for")
		return nil
	}
	client, err := c.inv.client()
	if err == nil {
		_, err = client.Status(ctx)
	}
	if err != nil {
		return fmt.Errorf("nothing was made, since nobody could tell of an event that comes by it (--wait 0 does not look): %w", err)
	}
	c.instance = client
	return nil
}

// watch tells of the first event that comes by a log stream of the tenant after
// the stream was made, or why it cannot be told. It looks from before that on, so
// that no clock has to agree with another.
func (c *streamCreation) watch(ctx context.Context) <-chan schemas.EventView {
	seen := make(chan schemas.EventView, 1)
	if c.instance == nil {
		return seen
	}
	q := apiclient.EventQuery{Where: map[string]string{"tenant": c.sink.tenant, "source": schemas.SourceStream.String()}}
	go func() {
		_ = c.instance.Follow(ctx, q, "", func(e schemas.EventView) error { // its error shows when it is asked why
			if !c.created.Load() {
				return nil
			}
			seen <- e
			return errSeen
		}, nil)
	}()
	return seen
}

var errSeen = errors.New("seen")

// again is how often something is made to happen while no event comes.
const again = 45 * time.Second

// await waits for an event, and has one happen.
func (c *streamCreation) await(ctx context.Context, streams *provision.Streams, stream provision.Stream, seen <-chan schemas.EventView) error {
	bar := newProgress(c.inv.stderr, "event")
	defer bar.done()
	begun := time.Now()
	deadline, tick := time.NewTimer(c.sink.wait), time.NewTicker(time.Second)
	defer deadline.Stop()
	defer tick.Stop()
	var caused time.Time
	for {
		if time.Since(caused) >= again {
			caused = time.Now()
			c.cause(ctx, &stream)
		}
		select {
		case e := <-seen:
			bar.done()
			fmt.Fprintf(c.inv.stderr, "it works: %s of %s came by it, %s after the stream was made\n", printable(e.Type), clock(e.Time), time.Since(begun).Round(100*time.Millisecond))
			c.tellOthers(ctx, streams, &stream)
			return nil
		case <-tick.C:
			bar.show(int64(time.Since(begun)), int64(c.sink.wait), "none has come yet")
		case <-deadline.C:
			bar.done()
			return fmt.Errorf("log stream %s is made, and no event of tenant %s has come by it in %s: %s",
				stream.ID, c.sink.tenant, c.sink.wait, strings.Join(c.reasons(ctx, streams, &stream), "; "))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// cause gets a token of the application that makes the stream, which Auth0 logs.
// That the stream was made is logged as well, by a category of its own.
func (c *streamCreation) cause(ctx context.Context, stream *provision.Stream) {
	if !delivers(stream, "auth.token_exchange.success") {
		return
	}
	client, credentials, err := c.p.client(c.inv)
	if err == nil {
		_, err = client.RequestToken(ctx, auth0.TokenRequest{Credentials: credentials, Audience: client.Audience()})
	}
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(c.inv.stderr, "no token was got that would be an event:", legible(err.Error()))
	}
}

func delivers(stream *provision.Stream, category string) bool {
	names := stream.Categories()
	return len(names) == 0 || slices.Contains(names, category)
}

// tellOthers says by what else the event may have come.
func (c *streamCreation) tellOthers(ctx context.Context, streams *provision.Streams, stream *provision.Stream) {
	all, err := streams.List(ctx)
	if err != nil {
		return // it is an aside
	}
	for i := range all {
		if other := &all[i]; other.ID != stream.ID && other.Endpoint == stream.Endpoint && other.Status == provision.StreamActive {
			fmt.Fprintf(c.inv.stderr, "%s (%s) delivers there, too, so that it may have come by that one; each log comes twice now, and is stored once\n", printable(other.Name), printable(other.ID))
		}
	}
}

// reasons are what keeps an event from coming, as far as it shows.
func (c *streamCreation) reasons(ctx context.Context, streams *provision.Streams, stream *provision.Stream) []string {
	var why []string
	if is, err := streams.Get(ctx, stream.ID); err != nil {
		why = append(why, err.Error())
	} else if health := is.Health(); health != "" {
		why = append(why, "it is "+health)
	}
	why = append(why, c.refusals(ctx)...)
	if err := askWebhook(ctx, c.new.Endpoint, c.secret); err != nil {
		why = append(why, err.Error())
	}
	if status, err := c.instance.Status(ctx); err != nil {
		why = append(why, err.Error())
	} else if status.Pending != nil && *status.Pending > 0 {
		why = append(why, "the instance has taken in records that are not stored yet (m2mwatch status)")
	}
	if !delivers(stream, "auth.token_exchange.success") && !delivers(stream, "management.success") {
		why = append(why, "it delivers none of what can be made to happen: wait for something to")
	}
	if len(why) == 0 {
		why = append(why, "nothing shows why. Auth0 may take minutes, and delivers to addresses that the internet reaches, with certificates of a public authority, alone: see Monitoring › Streams › Health in its dashboard, and m2mwatch doctor --url "+c.new.Endpoint)
	}
	return why
}

// answered counts what the webhook of the instance has answered by status; nil where
// it does not tell.
func (c *streamCreation) answered(ctx context.Context) map[string]float64 {
	text, err := c.instance.Metrics(ctx)
	if err != nil {
		return nil // another process may have the webhook
	}
	return doctor.RequestsByCode(text)
}

// refusals tell what the webhook has refused since the stream was made.
func (c *streamCreation) refusals(ctx context.Context) []string {
	var told []string
	after := c.answered(ctx)
	for _, code := range slices.Sorted(maps.Keys(after)) {
		if n := after[code] - c.answers[code]; n > 0 && code != "200" {
			told = append(told, fmt.Sprintf("the webhook has refused %.0f deliveries with %s meanwhile (m2mwatch doctor says why)", n, code))
		}
	}
	return told
}
