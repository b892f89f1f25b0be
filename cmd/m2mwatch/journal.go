package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// journalLimit bounds how long a command waits for the running instance before it
// records in its own file.
const journalLimit = 5 * time.Second

// journal records changes at the running instance, and where there is none in a
// file that the next one takes in. Its methods may be called concurrently: what
// comes while one records goes with the next, all at once.
type journal struct {
	inv    *invocation
	domain string
	file   journalFile
	turn   chan struct{} // holds one value: whoever has it records

	mu      sync.Mutex // guards what follows
	waiting []recording
	ended   []schemas.ProvisionCall // to be told with the next

	client *apiclient.Client // nil: the file is where it goes; the turn's
	asked  bool              // whether there is an instance; the turn's
}

// recording is a call that somebody waits for.
type recording struct {
	call schemas.ProvisionCall
	done chan error
}

func newJournal(inv *invocation, domain string) (*journal, error) {
	path, err := journalPath()
	if err != nil {
		return nil, err
	}
	j := &journal{inv: inv, domain: domain, file: journalFile{path}, turn: make(chan struct{}, 1)}
	j.turn <- struct{}{}
	return j, nil
}

// Begin implements provision.Journal.
func (j *journal) Begin(ctx context.Context, c schemas.ProvisionCall) error {
	r := recording{c, make(chan error, 1)}
	j.mu.Lock()
	j.waiting = append(j.waiting, r)
	j.mu.Unlock()
	select {
	case <-j.turn:
	case err := <-r.done: // somebody took it along
		return err
	}
	j.flush(ctx)
	j.turn <- struct{}{}
	return <-r.done
}

// End implements provision.Journal.
func (j *journal) End(c schemas.ProvisionCall) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = append(j.ended, c)
}

// Close tells how the last calls ended, though the command was interrupted.
func (j *journal) Close() error {
	<-j.turn
	defer func() { j.turn <- struct{}{} }()
	ctx, cancel := context.WithTimeout(context.Background(), journalLimit)
	defer cancel()
	return j.flush(ctx)
}

// flush records what waits, by whoever has the turn.
func (j *journal) flush(ctx context.Context) error {
	j.mu.Lock()
	waiting, calls := j.waiting, j.ended
	j.waiting, j.ended = nil, nil
	j.mu.Unlock()
	for i := range waiting {
		calls = append(calls, waiting[i].call)
	}
	err := j.record(ctx, calls)
	if err != nil && len(calls) > len(waiting) { // how they ended is told with the next
		j.mu.Lock()
		j.ended = append(calls[:len(calls)-len(waiting):len(calls)-len(waiting)], j.ended...)
		j.mu.Unlock()
	}
	for i := range waiting {
		waiting[i].done <- err
	}
	return err
}

// record keeps calls at the instance, or else in the file.
func (j *journal) record(ctx context.Context, calls []schemas.ProvisionCall) error {
	if len(calls) == 0 {
		return nil
	}
	j.find(ctx)
	if j.client != nil {
		err := recordAt(ctx, j.client, calls)
		if err == nil || ctx.Err() != nil {
			return err
		}
		j.lose(err)
	}
	return j.file.append(calls)
}

// find looks for the running instance, once, and gives it what the file has.
func (j *journal) find(ctx context.Context) {
	if j.asked {
		return
	}
	j.asked = true
	client, err := j.inv.journalClient(j.domain)
	if err != nil || client == nil {
		return // the same as nobody there
	}
	j.client = client
	_, err = j.file.take(func(calls []schemas.ProvisionCall) error { return recordAt(ctx, client, calls) })
	if err != nil {
		j.lose(err)
	}
}

// lose goes on with the file. It is told but where nobody was expected.
func (j *journal) lose(err error) {
	j.client.Close()
	j.client = nil
	if _, notRunning := errors.AsType[*apiclient.NotRunningError](err); notRunning && lookup(j.inv.environ, "M2MWATCH_URL") == "" {
		return
	}
	fmt.Fprintf(j.inv.stderr, "changes are recorded in %s, as the running instance does not take them: %v\n", j.file.path, err)
}

// recordAt records calls at an instance.
func recordAt(ctx context.Context, client *apiclient.Client, calls []schemas.ProvisionCall) error {
	for part := range slices.Chunk(calls, apiclient.MaxRecorded) {
		ctx, cancel := context.WithTimeout(ctx, journalLimit)
		err := client.RecordCalls(ctx, part)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// journalClient is of the instance that watches a tenant; nil where there is none. A
// demo that happens to run is none but of its own.
func (inv *invocation) journalClient(domain string) (*apiclient.Client, error) {
	if lookup(inv.environ, "M2MWATCH_URL") == "" && inv.data == "" && !strings.Contains(domain, ":") {
		if dir, err := inv.dataDir(); err != nil || dir == demoData {
			return nil, err
		}
	}
	return inv.client()
}

// operatorName is who runs the program, where.
func operatorName() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
