package ingest

import (
	"bytes"
	"io"
	"sync"
)

// windowBase is the size of the buffer that every request reads through.
// Longer records make it grow, against the caller's Reserve.
const windowBase = 64 << 10

// memory is asked before a window grows beyond its base, and told when it
// shrinks. large marks growth beyond what an ordinary record needs.
type memory interface {
	reserve(n int, large bool) error
	release(n int, large bool)
}

// window is the part of a body that is being looked at. It holds one record
// whole, so it grows to the longest one: softly up to soft bytes, and beyond
// that only as the one large window that memory allows.
type window struct {
	r    io.Reader
	mem  memory
	soft int   // an ordinary record fits into so many bytes
	max  int64 // bytes that the body may have

	buf      []byte // len is its capacity
	pos, end int
	total    int64
	eof      bool
	large    bool
	reserved int
}

// bytes is what has been read and not yet consumed.
func (w *window) bytes() []byte { return w.buf[w.pos:w.end] }

func (w *window) advance(n int) { w.pos += n }

// fill reads until at least n bytes are there or the body has ended.
func (w *window) fill(n int) error {
	for w.end-w.pos < n && !w.eof {
		if err := w.room(n); err != nil {
			return err
		}
		if err := w.read(); err != nil {
			return err
		}
	}
	return nil
}

// double reads until twice as much is there, so that whoever starts over at
// the front of the window after each call has linear work in all. It stops at
// the soft limit once before it goes beyond.
func (w *window) double() error {
	n := w.end - w.pos
	if n < w.soft {
		return w.fill(min(2*n, w.soft))
	}
	return w.fill(2 * n)
}

func (w *window) read() error {
	for range 100 {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		w.total += int64(n)
		switch {
		case w.total > w.max:
			return ErrTooLarge
		case err == io.EOF:
			w.eof = true
			return nil
		case err != nil:
			return err
		case n > 0:
			return nil
		}
	}
	return io.ErrNoProgress
}

// room makes place for n bytes from pos on, of which at least one is free.
func (w *window) room(n int) error {
	if w.pos == w.end {
		w.pos, w.end = 0, 0
	}
	if w.pos+n <= len(w.buf) && w.end < len(w.buf) {
		return nil
	}
	if n <= len(w.buf) {
		w.end = copy(w.buf, w.bytes())
		w.pos = 0
		return nil
	}
	return w.grow(n)
}

func (w *window) grow(n int) error {
	size := len(w.buf)
	for size < n {
		size *= 2
	}
	large := n > w.soft
	if large {
		size = int(min(int64(size), w.max+1))
	} else {
		size = min(size, w.soft)
	}
	if err := w.reserve(size, large); err != nil {
		return err
	}
	w.move(make([]byte, size))
	return nil
}

// reserve asks for what a buffer of size takes more than now. The step to a
// large buffer is asked for once and returns what was reserved before.
func (w *window) reserve(size int, large bool) error {
	if large == w.large {
		if large {
			return nil
		}
		if err := w.mem.reserve(size-len(w.buf), false); err != nil {
			return err
		}
		w.reserved += size - len(w.buf)
		return nil
	}
	if err := w.mem.reserve(size, true); err != nil {
		return err
	}
	w.large = true
	w.unreserve()
	return nil
}

func (w *window) unreserve() {
	if w.reserved > 0 {
		w.mem.release(w.reserved, false)
		w.reserved = 0
	}
}

func (w *window) move(buf []byte) {
	w.end = copy(buf, w.bytes())
	w.pos = 0
	w.buf = buf
}

// shrink gives a large buffer back once what is left fits into a common one.
// It must be called when no record of the window is in use.
func (w *window) shrink() {
	if !w.large || w.end-w.pos > windowBase {
		return
	}
	w.move(make([]byte, windowBase))
	w.large = false
	w.mem.release(0, true)
}

func (w *window) close() {
	if w.large {
		w.buf = nil
		w.large = false
		w.mem.release(0, true)
	}
	w.unreserve()
}

// windowBuffers hands out buffers of windowBase bytes.
type windowBuffers struct{ pool sync.Pool }

func (p *windowBuffers) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, windowBase)
}

func (p *windowBuffers) put(b []byte) {
	if len(b) == windowBase {
		p.pool.Put(&b)
	}
}

// trim removes JSON's whitespace from both ends of b.
func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }
