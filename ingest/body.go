package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Errors of a body as a whole. Whoever gets one has been given every record
// before the place where it happened.
var (
	// ErrTooLarge means that the body goes beyond the hard cap, compressed or not.
	ErrTooLarge = errors.New("body is larger than the hard cap")
	// ErrBody is wrapped where the body could not be read to its end: the
	// sender went away, or the gzip data are cut short or damaged.
	ErrBody = errors.New("body cannot be read to its end")
	// ErrCloudEvent means that the body is one of Auth0's Event Streams.
	ErrCloudEvent = errors.New("body is an Event Streams CloudEvent, not a log stream")
)

// capped fails with ErrTooLarge beyond left bytes. It bounds the compressed
// side of a body, which may be long and hold nothing.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}

// body reads r as it was before gzip and without a byte order mark. What it is
// shows in its first bytes; no header is asked.
type body struct {
	io.Reader
	zip   *gzip.Reader
	zips  *sync.Pool
	first [3]byte
}

func (b *body) open(r io.Reader, limit int64, zips *sync.Pool) error {
	b.zips = zips
	b.Reader = &capped{r: r, left: limit}
	n, err := b.peek()
	if err != nil {
		return err
	}
	if n >= 2 && b.first[0] == 0x1f && b.first[1] == 0x8b {
		if err := b.unzip(); err != nil {
			return err
		}
		if n, err = b.peek(); err != nil {
			return err
		}
	}
	if n == 3 && b.first == [3]byte{0xef, 0xbb, 0xbf} {
		_, err = io.CopyN(io.Discard, b.Reader, 3)
	}
	return err
}

// peek looks at up to three bytes and puts them back.
func (b *body) peek() (int, error) {
	n := 0
	for n < len(b.first) {
		m, err := b.Read(b.first[n:])
		n += m
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, err
		}
	}
	head := bytes.Clone(b.first[:n])
	b.Reader = io.MultiReader(bytes.NewReader(head), b.Reader)
	return n, nil
}

func (b *body) unzip() error {
	if z, ok := b.zips.Get().(*gzip.Reader); ok {
		b.zip = z
		if err := z.Reset(b.Reader); err != nil {
			return err
		}
	} else {
		z, err := gzip.NewReader(b.Reader)
		if err != nil {
			return err
		}
		b.zip = z
	}
	b.Reader = b.zip
	return nil
}

func (b *body) close() {
	if b.zip != nil {
		b.zips.Put(b.zip)
		b.zip = nil
	}
}

// bodyError makes of a reader's error one of this package's. It is never
// io.EOF, which means that all is well.
func bodyError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, ErrTooLarge) {
		return ErrTooLarge
	}
	return fmt.Errorf("%w: %w", ErrBody, err)
}
