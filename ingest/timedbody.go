package ingest

import (
	"io"
	"net/http"
	"os"
	"time"
)

// timedBody is the body of a request that has to arrive by a deadline. At the
// body's end the deadline is taken back: left in place it would end the request
// while it waits for the broker. After an error it stays, since net/http reads
// what is left of the body.
type timedBody struct {
	body  io.Reader
	conn  *http.ResponseController
	end   time.Time
	bytes int64 // that were read
}

// newTimedBody starts the time. Where the connection knows no deadlines, or
// somebody below moves them on, the time is looked at between reads.
func newTimedBody(body io.Reader, conn *http.ResponseController, d time.Duration) *timedBody {
	b := &timedBody{body: body, conn: conn, end: time.Now().Add(d)}
	_ = conn.SetReadDeadline(b.end)
	return b
}

func (b *timedBody) Read(p []byte) (int, error) {
	if time.Now().After(b.end) {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := b.body.Read(p)
	b.bytes += int64(n)
	if err == io.EOF {
		_ = b.conn.SetReadDeadline(time.Time{})
	}
	return n, err
}
