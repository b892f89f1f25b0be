package httpserver

import (
	"net/http"
	"net/http/pprof"

	"github.com/labstack/echo/v4"
)

// Profile serves Go's profiles under /debug/pprof, for `go tool pprof`. A heap
// has secrets in it: serve it where its owner alone can reach it.
func Profile(e *echo.Echo) {
	for path, handler := range map[string]http.HandlerFunc{
		"/*": pprof.Index, "/profile": pprof.Profile, "/trace": pprof.Trace,
	} {
		e.GET("/debug/pprof"+path, echo.WrapHandler(handler))
	}
}
