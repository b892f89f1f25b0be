package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// DefaultMaxBody is the hard cap of one body, decompressed.
	DefaultMaxBody = 128 << 20
	// brokenBudget is how many broken pieces of one body are cut as early as a
	// neighbour may begin. From then on a piece reaches at least to where its
	// JSON broke, so that a hostile body has linear work.
	brokenBudget = 256
)

// SplitOptions bound a Splitter.
type SplitOptions struct {
	// MaxRecord is the size in bytes up to which a record is an ordinary one.
	// A longer one is collected whole and marked Oversize. Default 1 MiB less
	// 1 KiB.
	MaxRecord int
	// MaxBody is the hard cap of the body, compressed and decompressed.
	// Default DefaultMaxBody.
	MaxBody int64
	// CloudEvents are records, and not the sign that a sender was set up to
	// deliver what is no log.
	CloudEvents bool

	mem memory
}

func (o *SplitOptions) setDefaults() {
	if o.MaxRecord <= 0 {
		o.MaxRecord = 1<<20 - 1<<10
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.mem == nil {
		o.mem = freeMemory{}
	}
}

// freeMemory is for a Splitter that nobody meters.
type freeMemory struct{}

func (freeMemory) reserve(int, bool) error { return nil }
func (freeMemory) release(int, bool)       {}

// Record is one piece of a body: a record, or what cannot be read as one.
type Record struct {
	// Raw is the piece as it stood, envelope included, without the whitespace
	// around it. It is valid until the next call of Next.
	Raw []byte
	// Broken says why the piece is not a JSON object. It is empty for a record.
	Broken string
	// Oversize marks a piece of more than MaxRecord bytes.
	Oversize bool
}

// Splitter cuts a body into records while it streams in. It finds the shape by
// looking: JSON lines, a JSON array, {"logs":[…]}, single objects over several
// lines, and any sequence of these; gzip and a byte order mark as well.
//
// A record is any JSON object. Names that occur twice and strings that are not
// valid UTF-8 (a lone \ud800 among them) are let through: RFC 8259 leaves them
// open, and an attacker who can put one into a log must not make it vanish. A
// reader of the records has to allow both.
type Splitter struct {
	w     window
	body  body
	limit int
	ce    bool // CloudEvents are records
	shape shape

	dec    *jsontext.Decoder
	src    bytes.Buffer
	opts   []jsontext.Options
	key    []byte // `{"key"` of the first record with a key: where records begin
	broken int
	torn   bool // the last piece was broken and ran to the end of the body
	err    error

	pools *splitPools
}

// shape is where in the body the splitter stands.
type shape uint8

const (
	shapeTop       shape = iota // between values of the body
	shapeArray                  // inside [ … ]
	shapeLogs                   // inside {"logs":[ … ]}
	shapeLogsEnded              // behind its ]
)

// splitPools are what splitters share. The zero value is ready for use.
type splitPools struct {
	windows windowBuffers
	zips    sync.Pool
	decs    sync.Pool
}

func (p *splitPools) decoder() *jsontext.Decoder {
	if d, ok := p.decs.Get().(*jsontext.Decoder); ok {
		return d
	}
	return new(jsontext.Decoder)
}

// NewSplitter returns a splitter over r. Close gives its buffers back.
func NewSplitter(r io.Reader, o SplitOptions) *Splitter {
	return newSplitter(r, o, new(splitPools))
}

func newSplitter(r io.Reader, o SplitOptions, pools *splitPools) *Splitter {
	o.setDefaults()
	s := &Splitter{
		limit: o.MaxRecord,
		ce:    o.CloudEvents,
		dec:   pools.decoder(),
		opts:  []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)},
		pools: pools,
	}
	s.w = window{mem: o.mem, soft: max(o.MaxRecord, windowBase), max: o.MaxBody, buf: pools.windows.get()}
	if err := s.body.open(r, o.MaxBody, &pools.zips); err != nil {
		s.err = bodyError(err)
	}
	s.w.r = &s.body
	return s
}

// Close gives the buffers back; no Record may be in use any more.
func (s *Splitter) Close() {
	if s.dec == nil {
		return
	}
	s.err = errors.New("splitter is closed")
	s.body.close()
	s.w.close()
	s.pools.windows.put(s.w.buf)
	s.dec.Reset(new(bytes.Buffer))
	s.pools.decs.Put(s.dec)
	s.dec, s.w.buf = nil, nil
}

// Next returns the next record or broken piece, io.EOF at the end of the body,
// or an error that wraps ErrTooLarge, ErrBody or ErrCloudEvent, after which
// there is nothing more to come. A record that an error cut short is not
// returned.
func (s *Splitter) Next() (Record, error) {
	if s.err != nil {
		return Record{}, s.err
	}
	rec, err := s.next()
	if err != nil {
		s.err = err
		return Record{}, err
	}
	return rec, nil
}

func (s *Splitter) next() (Record, error) {
	s.w.shrink()
	for {
		c, err := s.peek()
		if errors.Is(err, io.EOF) {
			return s.end()
		}
		if err != nil {
			return Record{}, err
		}
		structural, err := s.structure(c)
		if err != nil {
			return Record{}, err
		}
		if !structural {
			return s.value()
		}
	}
}

// peek returns the next byte that is neither whitespace nor a comma.
func (s *Splitter) peek() (byte, error) {
	for {
		for i, c := range s.w.bytes() {
			switch c {
			case ' ', '\t', '\r', '\n', ',':
			default:
				s.w.advance(i)
				return c, nil
			}
		}
		s.w.advance(len(s.w.bytes()))
		if s.w.eof {
			return 0, io.EOF
		}
		if err := s.fill(1); err != nil {
			return 0, err
		}
	}
}

// structure consumes what c begins if it only holds records together.
func (s *Splitter) structure(c byte) (bool, error) {
	switch s.shape {
	case shapeArray, shapeLogs:
		if c != ']' {
			return false, nil
		}
		s.w.advance(1)
		if s.shape == shapeLogs {
			s.shape = shapeLogsEnded
		} else {
			s.shape = shapeTop
		}
		return true, nil
	case shapeLogsEnded:
		s.shape = shapeTop
		if c == '}' {
			s.w.advance(1)
			return true, nil
		}
	}
	switch c {
	case '[':
		s.w.advance(1)
		s.shape = shapeArray
		return true, nil
	case '{':
		return s.logs()
	}
	return false, nil
}

// logs consumes the opening of {"logs":[ … ]} if it stands here.
func (s *Splitter) logs() (bool, error) {
	for {
		n, more := matchLogs(s.w.bytes())
		if more && !s.w.eof {
			if err := s.double(); err != nil {
				return false, err
			}
			continue
		}
		if n > 0 {
			s.w.advance(n)
			s.shape = shapeLogs
		}
		return n > 0, nil
	}
}

// matchLogs returns the length of `{"logs":[` with any whitespace between at
// the front of data, or 0; more says that data are too short to tell.
func matchLogs(data []byte) (n int, more bool) {
	for _, token := range [...]string{"{", `"logs"`, ":", "["} {
		n += leadingSpace(data[n:])
		rest := data[n:]
		if len(rest) < len(token) {
			return 0, string(rest) == token[:len(rest)]
		}
		if string(rest[:len(token)]) != token {
			return 0, false
		}
		n += len(token)
	}
	return n, false
}

func leadingSpace(data []byte) int {
	for i, c := range data {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return i
		}
	}
	return len(data)
}

// end is what follows the last record.
func (s *Splitter) end() (Record, error) {
	open := s.shape == shapeArray || s.shape == shapeLogs
	s.shape = shapeTop
	if !open || s.torn {
		return Record{}, io.EOF
	}
	// Every record before is whole, but some may be missing: make it visible.
	return Record{Raw: []byte("["), Broken: "the array is not closed: the body may have been cut short by its sender or by a proxy"}, nil
}

// value returns the value, or the piece that is none, at the window's front.
func (s *Splitter) value() (Record, error) {
	if s.shape == shapeTop && s.w.bytes()[0] != '{' {
		return s.piece(nil)
	}
	for {
		data := s.w.bytes()
		n, err := s.scan(data)
		switch {
		case err == nil && data[0] == '{':
			return s.record(n)
		case err == nil && (n < len(data) || s.w.eof || data[0] == '['):
			return s.take(n, "not a JSON object: a record is an object"), nil
		case err != nil && (!errors.Is(err, io.ErrUnexpectedEOF) || s.w.eof):
			return s.piece(err)
		}
		if err := s.double(); err != nil {
			return Record{}, err
		}
	}
}

// scan returns the length of the JSON value at the front of data.
func (s *Splitter) scan(data []byte) (int, error) {
	s.src = *bytes.NewBuffer(data)
	s.dec.Reset(&s.src, s.opts...)
	_, err := s.dec.ReadValue()
	return int(s.dec.InputOffset()), err
}

func (s *Splitter) record(n int) (Record, error) {
	raw := s.w.bytes()[:n]
	if s.key == nil {
		s.key = firstKey(raw)
	}
	if !s.ce && s.isCloudEvent(raw) {
		return Record{}, ErrCloudEvent
	}
	return s.take(n, ""), nil
}

// take consumes the n bytes at the front as one piece.
func (s *Splitter) take(n int, broken string) Record {
	raw := s.w.bytes()[:n]
	s.w.advance(n)
	raw = trim(raw)
	return Record{Raw: raw, Broken: broken, Oversize: len(raw) > s.limit}
}

// isCloudEvent tells an Event Streams CloudEvent by specversion at its top. A
// log has log_id there, with or without the envelope.
func (s *Splitter) isCloudEvent(raw []byte) bool {
	if bytes.HasPrefix(raw, []byte(`{"log_id"`)) || !bytes.Contains(raw, []byte(`"specversion"`)) {
		return false
	}
	s.src = *bytes.NewBuffer(raw)
	s.dec.Reset(&s.src, s.opts...)
	_, _ = s.dec.ReadToken()
	found := false
	for s.dec.PeekKind() == '"' {
		name, err := s.dec.ReadToken()
		if err != nil || name.String() == "log_id" {
			return false
		}
		found = found || name.String() == "specversion"
		if s.dec.SkipValue() != nil {
			return false
		}
	}
	return found
}

func (s *Splitter) fill(n int) error { return s.readError(s.w.fill(n)) }
func (s *Splitter) double() error    { return s.readError(s.w.double()) }

// readError leaves alone what memory refused and names the rest.
func (s *Splitter) readError(err error) error {
	if err == nil || errors.Is(err, errOverloaded) {
		return err
	}
	return bodyError(err)
}

// describe says in one sentence why data is not JSON.
func describe(data []byte, err error) string {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Sprintf("not JSON: it ends in the middle of a value after %d bytes", len(data))
	}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) && syntax.Err != nil {
		return fmt.Sprintf("not JSON: %.200v at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return "not JSON: it does not begin with { or ["
}
