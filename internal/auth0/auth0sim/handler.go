package auth0sim

import (
	"encoding/json"
	"io"
	"net/http"
)

// ForwardedFor is the header by which a client of the simulated tenant says
// what address it calls from: all of them sit on one machine.
const ForwardedFor = "Auth0-Forwarded-For"

const maxBody = 64 << 10 // of a request for a token

// Handler is the tenant's HTTP face: the token endpoint, the keys that verify
// its tokens, and the Management API. Each call makes the log row that the real
// one makes.
func (t *Tenant) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", t.serveToken)
	mux.HandleFunc("GET /.well-known/jwks.json", t.serveKeys)
	mux.HandleFunc("GET /.well-known/openid-configuration", t.serveConfiguration)
	mux.HandleFunc("GET /exports/{file}", t.serveExport)
	serve := func(w http.ResponseWriter, r *http.Request) {
		if t.limited(w, r) {
			return
		}
		if _, ok := splitPath(r.URL.EscapedPath()); ok { // before the mux, which would clean the path
			t.serveAPI(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := t.fault(r); f != nil {
			f.happen(t, w, r, serve)
			return
		}
		serve(w, r)
	})
}

func answerOAuth(w http.ResponseWriter, status int, code, description string) {
	answer(w, status, map[string]any{"error": code, "error_description": description})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answerRaw(w, status, string(data))
}

func answerRaw(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the caller has gone; its log row stays
}
