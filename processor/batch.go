package processor

import (
	"cmp"
	"strconv"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// batch is what one flush writes: the events of whole messages, and what of
// them cannot be read. The raw logs alias the messages.
type batch struct {
	messages []schemas.Message
	events   []schemas.Event
	matches  []schemas.Match
	dead     []schemas.Dead
	replays  map[*byte]string // which replay a log came by, by its first byte; nil where none did
	bytes    int
	began    time.Time // when its first message came
	drained  bool      // the source had nothing more
	oldest   time.Time // arrival at ingest of its oldest event
	given    int       // logs of the last message that cannot be read
}

// reset empties b for another use and keeps its memory.
func (b *batch) reset() {
	clear(b.messages)
	clear(b.events)
	clear(b.matches)
	clear(b.dead)
	*b = batch{messages: b.messages[:0], events: b.events[:0], matches: b.matches[:0], dead: b.dead[:0]}
}

func (b *batch) empty() bool { return len(b.messages) == 0 }

// full reports whether nothing more may be added.
func (b *batch) full(c *Config) bool {
	return len(b.events)+len(b.dead) >= c.FlushRows || b.bytes >= c.FlushBytes || len(b.messages) >= c.MaxHeld/2
}

// due reports whether b should be flushed though there is room in it.
func (b *batch) due(c *Config) bool {
	return b.drained || time.Since(b.began) >= c.FlushAge
}

// addMessage takes a message in: from here on it is held until it is acked.
func (p *Processor) addMessage(b *batch, m schemas.Message) {
	if b.empty() {
		b.began = time.Now()
	}
	b.messages, b.given = append(b.messages, m), 0
	data := m.Data()
	b.bytes += len(data)
	ended, dead := p.cfg.Tracer.Normalize(m), len(b.dead)
	defer func() { ended(p.logs, len(b.dead)-dead) }()
	logs, err := schemas.DecodeGroup(p.logs[:0], data)
	p.logs = logs
	replay := m.Replay()
	if err != nil {
		// Of a broken group not even the tenant is certain: it goes whole.
		b.noteReplay(replay, data)
		b.giveUp(&schemas.Log{Raw: data}, &refusal{schemas.DeadCodeFraming, err.Error()}, p.cfg.Now())
		return
	}
	for i := range logs {
		b.noteReplay(replay, logs[i].Raw)
		p.addLog(b, &logs[i])
	}
}

// addLog normalizes a log into b.
func (p *Processor) addLog(b *batch, log *schemas.Log) {
	e, err := p.normalizer.Normalize(log)
	p.noteOdd(log, &e)
	if err == nil {
		err = checkTime(e.Time, p.cfg.Now(), p.cfg.Retention)
	}
	if err != nil {
		b.giveUp(log, refusalOf(err), p.cfg.Now())
		return
	}
	if e.Outcome == schemas.OutcomeUnknown {
		p.unknown.note(e.Tenant, e.Type, e.LogID)
	}
	if b.oldest.IsZero() || log.IngestedAt.Before(b.oldest) {
		b.oldest = log.IngestedAt
	}
	b.events = append(b.events, e)
}

func (p *Processor) noteOdd(log *schemas.Log, e *schemas.Event) {
	if p.normalizer.odd == 0 {
		return
	}
	p.metrics.countOdd(p.normalizer.odd)
	p.cfg.Logger.Debug("a record is odd: the last of two members counts, and the envelope's log_id",
		"tenant", log.Tenant, "log_id", e.LogID, "duplicate_member", p.normalizer.odd&oddDuplicate != 0, "log_id_mismatch", p.normalizer.odd&oddLogID != 0)
}

func days(d time.Duration) string { return strconv.Itoa(int(d.Hours()/24)) + " days" }

// checkTime refuses what would make a partition that is dropped at once, or
// one that nobody asked for: a time is whatever the record says.
func checkTime(at, now time.Time, retention time.Duration) error {
	first := time.Unix(0, 0)
	if retention > 0 {
		first = now.Add(-retention)
	}
	switch {
	case at.Before(first) && retention > 0:
		return refuse(schemas.DeadCodeTime, "its time %s is past the retention of %s: raise that and send it again", at.Format(time.RFC3339), days(retention))
	case at.Before(first):
		return refuse(schemas.DeadCodeTime, "its time %s is before 1970", at.Format(time.RFC3339))
	case at.After(now.Add(24 * time.Hour)):
		return refuse(schemas.DeadCodeTime, "its time %s is more than a day ahead of the clock, which says %s", at.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// giveUp has a log go to DEAD when b is flushed. Of a message of junk, as a replay
// makes one of what was joined, most are joined again.
func (b *batch) giveUp(log *schemas.Log, r *refusal, now time.Time) {
	d := schemas.Dead{
		Tenant: log.Tenant, Source: log.Source, IngestedAt: log.IngestedAt, Time: now.UTC(),
		Code: r.code, Reason: r.reason, Raw: log.Raw, Masked: log.Masked, Replay: b.replayOf(log.Raw),
	}
	if r.code != schemas.DeadCodeJSON || len(log.Raw) >= schemas.MaxDeadJoined {
		b.dead = append(b.dead, d)
		return
	}
	if b.given++; b.given <= schemas.DeadAlone {
		b.dead = append(b.dead, d)
		return
	}
	// One that was joined before is of this message from its second on.
	if last := &b.dead[len(b.dead)-1]; last.Pieces > 0 && b.given > schemas.DeadAlone+1 && last.Join(log.Raw, log.Masked) {
		return
	}
	d.Raw, d.Masked, d.Reason = nil, false, "pieces of one message, one per line; it goes on with: "+r.reason
	d.Join(log.Raw, log.Masked)
	b.dead = append(b.dead, d)
}

// noteReplay remembers which replay a log came by. Its events keep raw, which
// lies in the message and nowhere else.
func (b *batch) noteReplay(replay string, raw []byte) {
	if replay == "" || len(raw) == 0 {
		return
	}
	if b.replays == nil {
		b.replays = map[*byte]string{}
	}
	b.replays[&raw[0]] = replay
}

func (b *batch) replayOf(raw []byte) string {
	if len(b.replays) == 0 || len(raw) == 0 {
		return ""
	}
	return b.replays[&raw[0]]
}

// place is what two copies of one record share: the store keeps one of them.
type place struct {
	tenant, logID string
}

// dropLosers leaves of several copies of one record the one that the store
// would keep. An optimisation: the store does the same with whatever is left.
// index is emptied and used.
func (b *batch) dropLosers(index map[place]int) {
	clear(index)
	kept := b.events[:0]
	for i := range b.events {
		e := &b.events[i]
		at, again := index[place{e.Tenant, e.LogID}]
		switch {
		case again && sameKey(&kept[at], e):
			replay := cmp.Or(b.replayOf(e.Raw), b.replayOf(kept[at].Raw))
			if e.Ver > kept[at].Ver {
				kept[at] = *e
			}
			b.noteReplay(replay, kept[at].Raw) // given up without it, it would go with what it was replayed from
			continue
		case !again:
			index[place{e.Tenant, e.LogID}] = len(kept)
		}
		kept = append(kept, *e)
	}
	clear(b.events[len(kept):])
	b.events = kept
}

func sameKey(a, b *schemas.Event) bool {
	return a.LogID == b.LogID && a.Tenant == b.Tenant && a.ClientID == b.ClientID && a.Time.Equal(b.Time)
}
