package auth0sim

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"
)

// Config says what tenant to simulate. The zero value is usable.
type Config struct {
	// Name is the tenant's name, of a-z, 0-9 and -; it also makes its domain.
	// Default "acme".
	Name string
	// Domain is the host name in the tenant's records and tokens. Default the
	// name and ".auth0.example".
	Domain string
	// Seed makes the population, its history and every random choice.
	Seed uint64
	// Machines and People are the sizes of the population. Default 212 and
	// 1031; at least 2 machines (the story's and a flaky one) and 1 person.
	Machines, People int

	// Now dates what happens live. Default time.Now.
	Now func() time.Time
	// ManagementLimit and TokenLimit are what the Management API and the rest
	// take. Beyond it they answer 429. Default: no limit.
	ManagementLimit, TokenLimit Limit
	// SearchLag is how long the search of users does not see a change; what is
	// asked for by its id is there at once. Default 0.
	SearchLag time.Duration
	// Rate is how many events a second Live makes. Default 20.
	Rate float64

	// Duplicates is the share of logs that a stream delivers a second time,
	// some batches later; Reorder the share that it holds back for some
	// batches. Default 0: repeats then come from retries alone.
	Duplicates, Reorder float64
	// BatchSize and BatchInterval bound what one delivery carries: it leaves
	// when it is full or when its first log has waited that long. Default 100
	// and 200 ms.
	BatchSize     int
	BatchInterval time.Duration
	// RetryPause and RetryPauseMax are the first and the longest pause between
	// two tries of a delivery; it doubles in between. Default 100 ms and 5 s.
	RetryPause, RetryPauseMax time.Duration

	// JobPolls is how often a job is looked at until it has completed. Default
	// 0: it has at the first look.
	JobPolls int
	// ActionPolls is how often an Action is looked at after a change until it is
	// built; before that it cannot be deployed. Default 0: it is at once.
	ActionPolls int
	// SuspendAfter is how long deliveries of a stream are refused until the
	// tenant suspends it. Default 7 days.
	SuspendAfter time.Duration
	// MaxLogStreams is how many log streams the tenant's plan has. Default 10.
	MaxLogStreams int
	// LogsKept is how many of the logs that come about live GET /logs can
	// show, the newest ones. Default 10000.
	LogsKept int

	// Client sends deliveries and the story's requests. Default a client of the
	// tenant's own, with a time-out of 10 s.
	Client *http.Client
	// Logger takes failed deliveries. Default: nothing is logged.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "acme"
	}
	c.Domain = cmp.Or(c.Domain, c.Name+".auth0.example")
	c.Machines = max(orDefault(c.Machines, 212), 2)
	c.People = max(orDefault(c.People, 1031), 1)
	c.Rate = orDefault(c.Rate, 20)
	c.BatchSize = orDefault(c.BatchSize, 100)
	c.BatchInterval = orDefault(c.BatchInterval, 200*time.Millisecond)
	c.RetryPause = orDefault(c.RetryPause, 100*time.Millisecond)
	c.RetryPauseMax = max(orDefault(c.RetryPauseMax, 5*time.Second), c.RetryPause)
	c.SuspendAfter = orDefault(c.SuspendAfter, 7*24*time.Hour)
	c.MaxLogStreams = orDefault(c.MaxLogStreams, 10)
	c.LogsKept = orDefault(c.LogsKept, 10_000)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Client == nil {
		c.Client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func orDefault[T int | float64 | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}
