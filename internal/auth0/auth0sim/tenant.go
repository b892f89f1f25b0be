package auth0sim

import (
	"context"
	"crypto/rsa"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Tenant is the simulated tenant. Its methods may be called concurrently.
type Tenant struct {
	cfg      Config
	domain   string
	apis     []*api
	machines []*machine
	people   []person
	websites []website
	retired  []retiredClient
	strange  []network
	story    *Story

	dashboardID string // the client id of Auth0's own dashboard
	adminToken  string
	secrets     []string // by machine, as they were at first

	operations []operation
	populated  func() *store // fills the store at its first call
	keys       func() (*rsa.PrivateKey, error)

	managementBucket, tokenBucket bucket

	mu      sync.Mutex // guards what follows; taken after the store's
	rng     *rand.Rand // of what happens live
	number  uint64     // of the next live log
	sent    uint64
	streams []*logStream

	ingested     time.Time // of the last live log
	kept         []keptLog // by id
	keptHistory  int       // how many of them are not live
	streamNumber int
	faults       []*Fault
	grown        chan struct{} // closed and made anew when there is another stream
}

// retiredClient was deleted long ago; somebody still tries it.
type retiredClient struct {
	id     string
	caller caller
}

// New makes a tenant.
func New(cfg Config) *Tenant {
	cfg = cfg.withDefaults()
	r := newRand(cfg.Seed, sequencePopulation)
	t := &Tenant{cfg: cfg, domain: cfg.Domain, number: liveNumberBase, operations: operations(), grown: make(chan struct{})}
	t.managementBucket.limit, t.tokenBucket.limit = cfg.ManagementLimit, cfg.TokenLimit
	t.populated = sync.OnceValue(t.populate)
	t.keys = sync.OnceValues(newSigningKey)
	t.apis = newAPIs(t.domain)
	t.machines = newMachines(r, cfg.Machines, t.domain, t.apis)
	for range t.machines {
		t.secrets = append(t.secrets, base62(r, 64))
	}
	t.people = newPeople(r, cfg.People)
	t.websites = newWebsites(r)
	t.retired = newRetired(r)
	t.strange = strangeNetworks()
	t.dashboardID = base62(r, 32)
	t.adminToken = "dashboard." + base62(r, 40)
	t.story = newStory(t, r)
	t.rng = newRand(cfg.Seed, sequenceLive)
	return t
}

func newRetired(r *rand.Rand) []retiredClient {
	nets := homeNetworks(r)
	var retired []retiredClient
	for range 3 {
		retired = append(retired, retiredClient{base62(r, 32), newCallers(r, []network{pick(r, nets)})[0]})
	}
	return retired
}

// Name is the tenant's name, Domain where its APIs would be.
func (t *Tenant) Name() string { return t.cfg.Name }

// Domain is the host name in the tenant's records.
func (t *Tenant) Domain() string { return t.domain }

// Machines is how many machine applications there are.
func (t *Tenant) Machines() int { return len(t.machines) }

// People is how many users there are.
func (t *Tenant) People() int { return len(t.people) }

// Story is the one client that something happens to.
func (t *Tenant) Story() *Story { return t.story }

// AdminToken is a bearer token for the Management API. What is done with it is
// logged as done by a person in the dashboard.
func (t *Tenant) AdminToken() string { return t.adminToken }

// Client is a machine application as its owner knows it.
type Client struct {
	ID, Name, Secret string
	Audience         string
	Scopes           []string
	Addresses        []string // where it calls from; see ForwardedFor
}

// Client returns the application of that name with its present secret.
func (t *Tenant) Client(name string) (Client, bool) {
	for _, m := range t.machines {
		if m.name == name {
			return t.client(m), true
		}
	}
	return Client{}, false
}

func (t *Tenant) client(m *machine) Client {
	s := t.api()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Client{ID: m.id, Name: m.name, Secret: s.clients.get(m.id).text("client_secret"), Audience: m.api.audience, Scopes: slices.Clone(m.scopes)}
	for i := range m.callers {
		c.Addresses = append(c.Addresses, m.callers[i].ip)
	}
	return c
}

// machineOf returns the machine with that client id, or nil.
func (t *Tenant) machineOf(clientID string) *machine {
	for _, m := range t.machines {
		if m.id == clientID {
			return m
		}
	}
	return nil
}

// Sent is how many distinct logs have come about live, over HTTP and by Live.
// History is not among them.
func (t *Tenant) Sent() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent
}

// emit makes a live log, keeps it and gives it to every stream. render must
// not keep dst and is called under the lock. The ids of live logs rise, so that
// who reads them from a checkpoint on misses none.
func (t *Tenant) emit(render func(dst []byte, r *rand.Rand, s *stamp) []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := t.cfg.Now().UTC()
	t.ingested = later(at.Add(between(t.rng, 50*time.Millisecond, 300*time.Millisecond)), t.ingested.Add(time.Microsecond))
	s := stamp{at: at, id: newLogID(t.ingested, t.number)}
	t.number++
	raw := render(make([]byte, 0, 1536), t.rng, &s)
	t.sent++
	t.keep(raw)
	category := categoryOf(raw)
	for _, stream := range t.streams {
		stream.push(raw, category)
	}
}

// AddLogStream adds a sink that every later log is delivered to, once Run
// runs. The Management API shows it.
func (t *Tenant) AddLogStream(s Stream) {
	store := t.api()
	store.mu.Lock()
	defer store.mu.Unlock()
	stream := t.startStream(s)
	store.streams.put(stream.id, document{
		"id": stream.id, "name": "Webhook " + stream.id, "type": "http", "sink": sinkOf(stream.stream), "isPriority": false,
	})
}

// startStream begins to deliver to a sink.
func (t *Tenant) startStream(s Stream) *logStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	stream := newLogStream(&t.cfg, s, t.streamNumber)
	t.streamNumber++
	stream.id = fmt.Sprintf("lst_%016d", t.streamNumber)
	t.streams = append(t.streams, stream)
	close(t.grown)
	t.grown = make(chan struct{})
	return stream
}

// stopStream ends deliveries to a stream; what is queued is lost.
func (t *Tenant) stopStream(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams = slices.DeleteFunc(t.streams, func(l *logStream) bool {
		if l.id == id {
			close(l.gone)
		}
		return l.id == id
	})
}

// Run delivers to the log streams until ctx ends. What is not delivered by
// then stays queued: call Drain before to have it all delivered.
func (t *Tenant) Run(ctx context.Context) {
	var running sync.WaitGroup
	for ctx.Err() == nil {
		fresh, grown := t.notRunning()
		for _, stream := range fresh {
			running.Go(func() { stream.run(ctx) })
		}
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
	running.Wait()
	t.cfg.Client.CloseIdleConnections()
}

// notRunning returns the streams that nobody delivers to yet, and what is
// closed when there are more.
func (t *Tenant) notRunning() (fresh []*logStream, grown <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, stream := range t.streams {
		if !stream.running {
			stream.running = true
			fresh = append(fresh, stream)
		}
	}
	return fresh, t.grown
}

func (t *Tenant) streamList() []*logStream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.streams)
}

// Drain waits until every log and every repeat that is due has been delivered
// to every stream, or ctx ends. Run must be running.
func (t *Tenant) Drain(ctx context.Context) error {
	for _, stream := range t.streamList() {
		if err := stream.drain(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Deliveries counts what the log streams have done.
type Deliveries struct {
	Delivered uint64 // distinct logs answered with 2xx; of the slowest stream
	Repeated  uint64 // logs that were sent again on purpose
	Posts     uint64 // requests answered with 2xx
	Retries   uint64 // requests that were not
}

// Deliveries returns the counts so far.
func (t *Tenant) Deliveries() Deliveries {
	var sum Deliveries
	for i, stream := range t.streamList() {
		d := stream.counts()
		if i == 0 || d.Delivered < sum.Delivered {
			sum.Delivered = d.Delivered
		}
		sum.Repeated += d.Repeated
		sum.Posts += d.Posts
		sum.Retries += d.Retries
	}
	return sum
}
