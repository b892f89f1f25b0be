package auth0sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

const (
	storyPeriod = 15 * time.Minute

	// The pause between two refused tries grows by this factor.
	storyGrowth = 1.15
)

// Story is what happens to one client: its secret is rotated and its consumer
// is not updated.
type Story struct {
	t       *Tenant
	machine *machine
	last    time.Duration // of its last token before the end of a history
}

func newStory(t *Tenant, r *rand.Rand) *Story {
	return &Story{t: t, machine: t.machines[0], last: between(r, 25*time.Second, 85*time.Second).Truncate(time.Millisecond)}
}

// ClientID and ClientName name the client.
func (s *Story) ClientID() string { return s.machine.id }

// ClientName is the client's name.
func (s *Story) ClientName() string { return s.machine.name }

// Network is the only one the client has ever called from, as a prefix.
func (s *Story) Network() string { return storyNetwork().prefix + "0/24" }

// TokensPerDay is what the client asks for on every day of a history.
func (s *Story) TokensPerDay() int { return int(24 * time.Hour / storyPeriod) }

// AdminName is the person who rotates the secret.
func (s *Story) AdminName() string { return s.t.people[0].name }

// LastToken is when the client got its last token in a history that ends at to.
func (s *Story) LastToken(to time.Time) time.Time { return to.Add(-s.last) }

// StepKind is one kind of step of a story.
type StepKind string

// The steps, in their order.
const (
	StepToken   StepKind = "token"   // the consumer got a token
	StepRotated StepKind = "rotated" // an administrator has rotated the secret
	StepRefused StepKind = "refused" // the consumer was refused
)

// Step is something that has happened in a story.
type Step struct {
	Kind     StepKind
	Time     time.Time
	Refusals int // so far
}

// StoryConfig says how a story goes.
type StoryConfig struct {
	// BaseURL is where the tenant's Handler is served.
	BaseURL string
	// LastToken is when the consumer got its last token (Story.LastToken); it
	// asks for the next one 15 minutes later, at once where this is zero.
	LastToken time.Time
	// Delay is the time from the start to the rotation. Default 5 s.
	Delay time.Duration
	// Pause is the first pause between two refused tries; it grows by 15 %
	// with each. Default 1 s: nine refusals in 14 s.
	Pause time.Duration
	// Tries is after how many refusals the consumer waits until its next token
	// would be due, and then tries as often again. Default 9.
	Tries int
	// OnStep is told of each step, in order, by Run itself. It may be nil.
	OnStep func(Step)
}

// storyRun is one run of a story.
type storyRun struct {
	*Story
	cfg      StoryConfig
	secret   string // the consumer's
	refusals int
}

// Run lets the story happen, over real HTTP, until ctx ends. It returns an
// error when the tenant answers what the story does not foresee, or not at all.
func (s *Story) Run(ctx context.Context, cfg StoryConfig) error {
	cfg.Delay = orDefault(cfg.Delay, 5*time.Second)
	cfg.Pause = orDefault(cfg.Pause, time.Second)
	cfg.Tries = orDefault(cfg.Tries, 9)
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	run := &storyRun{Story: s, cfg: cfg, secret: s.t.client(s.machine).Secret}
	err := run.tell(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tell returns nil only when ctx has ended.
func (s *storyRun) tell(ctx context.Context) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	if err := s.rotate(ctx); err != nil {
		return err
	}
	for {
		pause := s.cfg.Pause
		for range s.cfg.Tries {
			if err := s.ask(ctx, http.StatusUnauthorized); err != nil {
				return err
			}
			if !sleep(ctx, pause) {
				return nil
			}
			pause = time.Duration(storyGrowth * float64(pause))
		}
		if !sleep(ctx, storyPeriod) {
			return nil
		}
	}
}

// ordinary is the consumer's life until the rotation.
func (s *storyRun) ordinary(ctx context.Context) error {
	wait := storyPeriod - s.t.cfg.Now().Sub(s.cfg.LastToken)
	if wait <= 0 { // before the rotation, however slow the machine is
		if err := s.ask(ctx, http.StatusOK); err != nil {
			return err
		}
		wait = storyPeriod
	}
	rotation := time.NewTimer(s.cfg.Delay)
	defer rotation.Stop()
	next := time.NewTimer(wait)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-rotation.C:
			return nil
		case <-next.C:
			if err := s.ask(ctx, http.StatusOK); err != nil {
				return err
			}
			next.Reset(storyPeriod)
		}
	}
}

// ask asks for a token as the consumer does and expects an answer.
func (s *storyRun) ask(ctx context.Context, want int) error {
	body, err := json.Marshal(tokenRequest{GrantType: grantCredentials, ClientID: s.machine.id, ClientSecret: s.secret, Audience: s.machine.api.audience})
	if err != nil {
		return fmt.Errorf("ask for a token: %w", err)
	}
	host := s.machine.callers[0]
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {host.agent}, ForwardedFor: {host.ip}}
	if err := s.post(ctx, "/oauth/token", header, string(body), want); err != nil {
		return fmt.Errorf("ask for a token: %w", err)
	}
	if want == http.StatusOK {
		s.step(StepToken)
		return nil
	}
	s.refusals++
	s.step(StepRefused)
	return nil
}

// rotate rotates the secret as an administrator does. Nobody tells the consumer.
func (s *storyRun) rotate(ctx context.Context) error {
	header := http.Header{"Authorization": {"Bearer " + s.t.adminToken}, "User-Agent": {s.t.people[0].agent}}
	if err := s.post(ctx, "/api/v2/clients/"+s.machine.id+"/rotate-secret", header, "", http.StatusOK); err != nil {
		return fmt.Errorf("rotate secret: %w", err)
	}
	s.step(StepRotated)
	return nil
}

func (s *storyRun) post(ctx context.Context, path string, header http.Header, body string, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.BaseURL+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := s.t.cfg.Client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // so that the connection is used again
	if resp.StatusCode != want {
		return fmt.Errorf("status %d, want %d", resp.StatusCode, want)
	}
	return nil
}

func (s *storyRun) step(k StepKind) {
	if s.cfg.OnStep != nil {
		s.cfg.OnStep(Step{k, s.t.cfg.Now().UTC(), s.refusals})
	}
}
