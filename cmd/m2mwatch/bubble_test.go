package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/auth0"
	"github.com/m2mwatch/m2mwatch/internal/auth0/auth0sim"
	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// inProcess is the way to a simulated tenant without a network, so that a bubble's
// clock goes on (testing/synctest).
type inProcess struct{ http.Handler }

// RoundTrip implements http.RoundTripper.
func (p inProcess) RoundTrip(r *http.Request) (response *http.Response, err error) {
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler { //nolint:errorlint // it is panicked with as it is
				panic(v)
			}
			response, err = nil, io.ErrUnexpectedEOF
		}
	}()
	w := httptest.NewRecorder()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	got := r.Clone(r.Context())
	if got.Body == nil {
		got.Body = http.NoBody // as a server has it
	}
	p.ServeHTTP(w, got)
	return w.Result(), nil
}

// withoutNetwork is the Management API of a simulated tenant, in a bubble, for an
// application with all scopes of provisioning.
func withoutNetwork(t *testing.T, tenant *auth0sim.Tenant, change ...func(*auth0.Config)) provision.API {
	t.Helper()
	o := &operator{t: t, tenant: tenant, base: "http://" + tenant.Domain(), http: &http.Client{Transport: inProcess{tenant.Handler()}}}
	o.become(allScopes()...)
	c := auth0.Config{
		Domain: tenant.Domain(), Transport: inProcess{tenant.Handler()},
		Credentials: auth0.Credentials{ClientID: o.client.ID, ClientSecret: o.client.Secret},
	}
	for _, f := range change {
		f(&c)
	}
	client, err := auth0.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return managementAPI{client}
}
