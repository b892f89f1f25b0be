package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// What goes into one request of custom events, at most, and how long an event
// waits for others.
const (
	customLines   = 1000
	customBytes   = 1 << 20
	customLinger  = time.Second
	customTimeout = 2 * time.Minute // of one request
	customRetry   = 5 * time.Second // after an error that may pass
)

// customSecretEnv is where `custom send` looks for the secret without --secret-file.
const customSecretEnv = "M2MWATCH_CUSTOM_SECRET"

func newCustom(inv *invocation) *cobra.Command {
	cmd := &cobra.Command{Use: "custom", Short: "Send custom events"}
	cmd.AddCommand(newCustomSend(inv))
	return cmd
}

func newCustomSend(inv *invocation) *cobra.Command {
	var tenant, url, secretFile string
	cmd := &cobra.Command{
		Use:   "send FILE",
		Short: "Send CloudEvents, one a line, to a tenant's /v1/custom",
		Long: `send reads CloudEvents, one JSON object a line, and sends them in batches as they come. FILE may
be -, so that a log that grows and rotates is sent by

  tail -n +1 -F uses.jsonl | m2mwatch custom send --tenant acme --url https://… --secret-file FILE -

While the instance cannot be reached or has no room it waits and tries again. Events are stored
once, so after an interruption the same file is simply sent again. A line that is the same as one
that was sent a short while ago is left out. An event that is refused is told on standard error
and passed over; the exit code is 1 then.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: send takes one FILE, or - for standard input", errUsage)
			}
			if err := schemas.CheckTenant(tenant); err != nil {
				return fmt.Errorf("%w: --tenant: %w", errUsage, err)
			}
			secret := lookup(inv.environ, customSecretEnv)
			if secretFile != "" {
				b, err := os.ReadFile(secretFile)
				if err != nil {
					return fmt.Errorf("read the secret: %w", err)
				}
				secret = strings.TrimSpace(string(b))
			}
			if url == "" || secret == "" {
				return fmt.Errorf("%w: want --url and --secret-file, or %s", errUsage, customSecretEnv)
			}
			client, err := apiclient.New(apiclient.Config{URL: url, Token: secret})
			if err != nil {
				return fmt.Errorf("%w: --url: %w", errUsage, err)
			}
			defer client.Close()
			s := &customSender{inv: inv, tenant: tenant, post: client.Custom, retry: customRetry}
			return s.sendFile(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant that the events belong to")
	cmd.Flags().StringVar(&url, "url", "", "where the webhook listens: https://m2mwatch.example.com")
	cmd.Flags().StringVar(&secretFile, "secret-file", "", "a file with one of the tenant's custom_secrets (default $"+customSecretEnv+")")
	return cmd
}

// customSender sends lines until they end.
type customSender struct {
	inv    *invocation
	tenant string
	post   func(ctx context.Context, tenant string, body io.Reader) (schemas.Accepted, error)
	retry  time.Duration

	recent, older     map[[sha256.Size]byte]struct{} // lines that were sent, the latest and those before
	accepted, refused int
}

// recentLines is how many lines make a generation of those not sent again.
const recentLines = 50_000

func (s *customSender) sendFile(ctx context.Context, path string) error {
	in := s.inv.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("open events: %w", err)
		}
		defer f.Close()
		in = f
	}
	err := s.send(ctx, in)
	fmt.Fprintf(s.inv.stdout, "%d events accepted, %d refused\n", s.accepted, s.refused)
	if err == nil && s.refused > 0 {
		return fmt.Errorf("%d events were refused", s.refused)
	}
	return err
}

// send gathers lines and sends them when enough are there, when the first has
// waited for customLinger, or at the end.
func (s *customSender) send(ctx context.Context, in io.Reader) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // a reader that waits for a pipe ends with the process
	lines, failed := make(chan []byte, customLines), make(chan error, 1)
	go func() {
		defer close(lines)
		r := bufio.NewReaderSize(in, 1<<16)
		for {
			line, err := readLine(r, customBytes)
			if len(line) > 0 {
				select {
				case lines <- line:
				case <-ctx.Done():
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				failed <- fmt.Errorf("read events: %w", err)
				return
			}
		}
	}()
	var batch [][]byte
	size := 0
	tick := time.NewTimer(customLinger)
	defer tick.Stop()
	for {
		flush, ended := false, false
		select {
		case line, ok := <-lines:
			if ok && len(line) >= customBytes { // cut off: it is one event too large for any body
				s.refused++
				fmt.Fprintf(s.inv.stderr, "m2mwatch: a line of %d bytes or more is passed over: %.60q…\n", customBytes, line)
				continue
			}
			if ended = !ok; ok && s.fresh(line) {
				if len(batch) == 0 {
					tick.Reset(customLinger)
				}
				batch, size = append(batch, line), size+len(line)
			}
			flush = ended || len(batch) >= customLines || size >= customBytes
		case <-tick.C:
			flush = true
		case <-ctx.Done():
			return ctx.Err()
		}
		if flush && len(batch) > 0 {
			if err := s.deliver(ctx, batch); err != nil {
				return err
			}
			batch, size = batch[:0], 0
		}
		if ended {
			select {
			case err := <-failed:
				return err
			default:
				return nil
			}
		}
	}
}

// readLine reads up to the end of a line, and keeps most bytes of it at most: what
// is longer is read and cut off.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part[:min(len(part), most-len(line))]...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte("\n")), err
		}
	}
}

// fresh reports whether a line is to be sent: not empty, and none of the last.
func (s *customSender) fresh(line []byte) bool {
	if len(bytes.TrimSpace(line)) == 0 {
		return false
	}
	sum := sha256.Sum256(line)
	_, recent := s.recent[sum]
	_, older := s.older[sum]
	if recent || older {
		return false
	}
	if s.recent == nil || len(s.recent) >= recentLines {
		s.older, s.recent = s.recent, map[[sha256.Size]byte]struct{}{}
	}
	s.recent[sum] = struct{}{}
	return true
}

// deliver sends lines until they are taken. Of a body that is refused for what
// it holds each line is sent by itself, so that one event does not keep others
// back; a refusal that has another cause ends it.
func (s *customSender) deliver(ctx context.Context, batch [][]byte) error {
	for {
		accepted, err := s.attempt(ctx, batch)
		var problem *apiclient.Error
		switch answered := errors.As(err, &problem); {
		case err == nil:
			s.accepted += accepted
			return nil
		case answered && (problem.Status == http.StatusBadRequest || problem.Status == http.StatusRequestEntityTooLarge):
			return s.apart(ctx, batch, err)
		case answered && problem.Status < http.StatusInternalServerError && problem.Status != http.StatusRequestTimeout && problem.Status != http.StatusTooManyRequests:
			return fmt.Errorf("send after %d events: %w", s.accepted, err)
		}
		wait := s.retry
		if problem != nil && problem.RetryAfter > 0 {
			wait = problem.RetryAfter
		}
		fmt.Fprintf(s.inv.stderr, "m2mwatch: %s; trying again in %v\n", legible(err.Error()), wait)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (s *customSender) attempt(ctx context.Context, batch [][]byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, customTimeout)
	defer cancel()
	a, err := s.post(ctx, s.tenant, bytes.NewReader(bytes.Join(batch, []byte("\n"))))
	return a.Accepted, err
}

// apart sends the halves of a batch that was refused; one line is passed over.
func (s *customSender) apart(ctx context.Context, batch [][]byte, refusal error) error {
	if len(batch) == 1 {
		s.refused++
		fmt.Fprintf(s.inv.stderr, "m2mwatch: refused: %s: %.200q\n", legible(refusal.Error()), batch[0])
		return nil
	}
	half := len(batch) / 2
	if err := s.deliver(ctx, batch[:half]); err != nil {
		return err
	}
	return s.deliver(ctx, batch[half:])
}
