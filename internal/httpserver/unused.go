package httpserver

import (
	"net"
	"net/http"
	"sync"
)

// unusedConns are the connections on which no request has begun. http.Server
// takes one for busy in its first five seconds, longer than a stop may last.
type unusedConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{} // guarded by mu
}

// closeAtStop closes them when srv stops. What a client sends on one at that
// moment was not read, so nothing is lost that was acknowledged.
func closeAtStop(srv *http.Server) {
	u := &unusedConns{conns: map[net.Conn]struct{}{}}
	srv.ConnState = u.changed
	srv.RegisterOnShutdown(u.close)
}

func (u *unusedConns) changed(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state == http.StateNew {
		u.conns[c] = struct{}{}
	} else {
		delete(u.conns, c)
	}
}

// close leaves the map to changed, which hears of each that is closed.
func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.conns {
		c.Close()
	}
}
