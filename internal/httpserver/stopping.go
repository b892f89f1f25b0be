package httpserver

import (
	"context"
	"net"
	"net/http"
)

type stoppingKey struct{}

// tellStop lets every request of srv learn that srv is to stop.
func tellStop(srv *http.Server) {
	stopping := make(chan struct{})
	srv.RegisterOnShutdown(func() { close(stopping) })
	srv.BaseContext = func(net.Listener) context.Context {
		return context.WithValue(context.Background(), stoppingKey{}, stopping)
	}
}

// Stopping is closed when the server of a request is to stop. An answer that has
// no end of its own must end then, or it is cut off. Of a request that Serve did
// not take it is never closed.
func Stopping(ctx context.Context) <-chan struct{} {
	stopping, _ := ctx.Value(stoppingKey{}).(chan struct{})
	return stopping
}
