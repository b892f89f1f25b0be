package httpserver

import (
	"net"
	"net/http"
	"sync"
)

// unusedConns are the connections on which no whole header has come. http.Server
// takes one for busy in its first five seconds, longer than a stop may last, and
// yet handles nothing that comes on one once a stop has begun.
type unusedConns struct {
	mu      sync.Mutex
	conns   map[net.Conn]struct{} // guarded by mu
	stopped bool                  // guarded by mu
}

// closeAtStop closes them when srv stops: nothing is cut off that it would have
// handled.
func closeAtStop(srv *http.Server) {
	u := &unusedConns{conns: map[net.Conn]struct{}{}}
	srv.ConnState = u.changed
	srv.RegisterOnShutdown(u.stop)
}

func (u *unusedConns) changed(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(u.conns, c)
	case u.stopped: // accepted just before the listener closed
		c.Close()
	default:
		u.conns[c] = struct{}{}
	}
}

// stop leaves the map to changed, which hears of each that is closed.
func (u *unusedConns) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	for c := range u.conns {
		c.Close()
	}
}
