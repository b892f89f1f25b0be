package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// minGroup is the smallest group that makes sense. A publisher that takes less
// is not connected yet: a record must not go to DEAD as oversize because of it.
const minGroup = 1 << 10

var (
	// errGone is wrapped when the sender did not wait for the answer.
	errGone = errors.New("sender went away")
	// errNotReady is wrapped when the publisher takes no groups now.
	errNotReady = errors.New("publisher is not ready")
)

// intake is one request on its way.
type intake struct {
	in     *Ingest
	ctx    context.Context
	tenant string
	source schemas.Source
	check  func(raw []byte) error // see delivery
	limit  int64                  // bytes of the body
	share  *share

	to       *committer
	maxGroup int
	open     portion
	held     []portion // full ones of a body that may yet be refused
	groups   []*group

	masker masker
	dead   deadLogs
	answer schemas.Accepted
	masked int
	bytes  int
}

// take splits the body, makes its records durable and returns when they are.
// Its errors wrap those of Splitter and Publisher, eventError, errOverloaded, errGone or errNotReady.
//
//  1. records are framed and handed to the committer, portion by portion; where
//     they are checked, when the last of them has been
//  2. what cannot be read is stored in DEAD
//  3. all groups that hold a record of it are awaited
//
// A crash or an error anywhere loses nothing: the sender has no 2xx and sends
// the body again; what was published before is published twice.
func (in *Ingest) take(ctx context.Context, d delivery, body io.Reader) (schemas.Accepted, error) {
	r := &intake{
		in: in, ctx: ctx, tenant: d.tenant, source: d.source, check: d.check, limit: d.maxBody,
		share:    &share{ctx: ctx, budget: in.budget, large: in.large},
		to:       in.committer(d.tenant, d.source),
		maxGroup: in.maxGroup(),
	}
	if r.maxGroup < minGroup {
		return schemas.Accepted{}, fmt.Errorf("%w: it takes %d bytes", errNotReady, r.maxGroup)
	}
	if err := r.share.reserve(windowBase, false); err != nil {
		return schemas.Accepted{}, err
	}
	defer r.share.release(windowBase, false)
	defer r.drop()
	if err := r.split(body); err != nil {
		return schemas.Accepted{}, err
	}
	if err := r.await(); err != nil {
		return schemas.Accepted{}, err
	}
	r.count()
	return r.answer, nil
}

func (r *intake) split(body io.Reader) error {
	s := newSplitter(body, SplitOptions{MaxRecord: r.maxRecord(), MaxBody: r.limit, CloudEvents: r.check != nil, mem: r.share}, &r.in.pools)
	defer s.Close()
	for {
		rec, err := s.Next()
		switch {
		case errors.Is(err, io.EOF):
			return r.flush()
		case err != nil:
			return err
		}
		if err := r.record(rec); err != nil {
			return err
		}
	}
}

// flush hands over what is still open or held.
func (r *intake) flush() error {
	for _, p := range r.held {
		r.join(p)
	}
	r.held = nil
	if r.open.logs > 0 {
		r.join(r.open)
		r.open = portion{}
	}
	return r.flushDead()
}

// maxRecord is the longest record that fits into a group of its own.
func (r *intake) maxRecord() int {
	return r.maxGroup - schemas.GroupHeaderSize(r.tenant) - schemas.GroupLogSize(0)
}

func (r *intake) record(rec Record) error {
	raw, masked := r.masker.mask(rec.Raw, rec.Broken == "")
	defer r.masker.shrink()
	if err := r.checked(rec, len(raw)); err != nil {
		return &eventError{index: r.answer.Accepted, err: err}
	}
	r.answer.Accepted++
	r.bytes += len(rec.Raw)
	if masked {
		r.masked++
	}
	switch {
	case rec.Broken != "":
		return r.addDead(raw, masked, rec.Broken)
	case len(raw) > r.maxRecord():
		r.answer.Dead++
		return r.publishDead(schemas.Dead{
			Code: schemas.DeadCodeSize, Raw: raw, Masked: masked,
			Reason: fmt.Sprintf("record of %d bytes is larger than a message may be (%d): raise max_payload of the NATS server and ingest.max_group", len(raw), r.maxRecord()),
		})
	}
	return r.add(raw, masked)
}

// checked returns what is wrong with a record of size bytes as it will be
// stored, where that is asked.
func (r *intake) checked(rec Record, size int) error {
	switch {
	case r.check == nil:
		return nil
	case rec.Broken != "":
		return errors.New(rec.Broken)
	case rec.Oversize || size > r.maxRecord():
		return fmt.Errorf("it has %d bytes, more than %d", size, r.maxRecord())
	}
	return r.check(rec.Raw)
}

func (r *intake) add(raw []byte, masked bool) error {
	need := schemas.GroupLogSize(len(raw))
	if r.open.logs > 0 && len(r.open.data)+need > r.maxGroup {
		r.handOver()
	}
	if err := r.ensure(need); err != nil {
		return err
	}
	r.open.add(raw, masked)
	return nil
}

// ensure makes place for need bytes in the open portion.
func (r *intake) ensure(need int) error {
	p := &r.open
	size := cap(p.data)
	if p.data == nil {
		need += schemas.GroupHeaderSize(r.tenant)
		size = min(portionBase, r.maxGroup)
	}
	for size < len(p.data)+need {
		size = min(2*size, r.maxGroup)
	}
	if size == cap(p.data) {
		return nil
	}
	if err := r.share.reserve(size-p.reserved, false); err != nil {
		return err
	}
	p.reserved = size
	data := make([]byte, len(p.data), size)
	copy(data, p.data)
	p.data = data
	if p.header == 0 {
		p.data = schemas.AppendGroupHeader(p.data, r.tenant, r.source, r.in.cfg.Now())
		p.header = len(p.data)
	}
	return nil
}

// handOver lets the open portion go to disk, or holds it where a record that
// is still to come may refuse it.
func (r *intake) handOver() {
	if r.check != nil {
		r.held = append(r.held, r.open)
	} else {
		r.join(r.open)
	}
	r.open = portion{}
}

func (r *intake) join(p portion) {
	if r.in.cfg.Tracer != nil {
		p.request = r.ctx
	}
	g := r.to.join(p, r.maxGroup)
	if n := len(r.groups); n == 0 || r.groups[n-1] != g {
		r.groups = append(r.groups, g)
	}
}

// drop gives back what was not handed over.
func (r *intake) drop() {
	if r.open.reserved > 0 {
		r.share.release(r.open.reserved, false)
		r.open = portion{}
	}
	for _, p := range r.held {
		r.share.release(p.reserved, false)
	}
	r.held = nil
	r.dropDead()
}

func (r *intake) await() error {
	for _, g := range r.groups {
		select {
		case <-g.done:
		case <-r.ctx.Done():
			return fmt.Errorf("%w: %w", errGone, r.ctx.Err())
		}
		if g.err != nil {
			return fmt.Errorf("publish group: %w", g.err)
		}
	}
	return nil
}

func (r *intake) count() {
	m, source := r.in.metrics, r.source.String()
	m.records.WithLabelValues(source).Add(float64(r.answer.Accepted))
	m.dead.WithLabelValues(source).Add(float64(r.answer.Dead))
	m.masked.WithLabelValues(source).Add(float64(r.masked))
	m.bytes.WithLabelValues(source).Add(float64(r.bytes))
}
