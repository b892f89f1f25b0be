package httpserver

import (
	"net"
	"net/http"
	"testing"
)

// TestAConnectionThatIsAcceptedAsTheServerStopsIsClosed: the server may be told
// of it after it has closed the others.
func TestAConnectionThatIsAcceptedAsTheServerStopsIsClosed(t *testing.T) {
	u := &unusedConns{conns: map[net.Conn]struct{}{}}
	u.stop()
	theirs, ours := net.Pipe()
	u.changed(ours, http.StateNew)
	if n, err := theirs.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes, want the end", n)
	}
}
