package ingest

import (
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/labstack/echo/v4"

	"github.com/m2mwatch/m2mwatch/internal/httpserver"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// AllowList are the networks that log streams may deliver from. It is replaced
// as a whole at a reload. The zero value, and nil, let everybody deliver.
type AllowList struct {
	networks atomic.Pointer[[]netip.Prefix]
}

// Replace makes networks the ones that count from now on; none are everybody.
func (a *AllowList) Replace(networks []netip.Prefix) {
	own := append([]netip.Prefix(nil), networks...)
	a.networks.Store(&own)
}

// allows refuses an address that is not known where there is a list.
func (a *AllowList) allows(addr netip.Addr) bool {
	if a == nil {
		return true
	}
	networks := a.networks.Load()
	if networks == nil || len(*networks) == 0 {
		return true
	}
	for _, n := range *networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// fromAllowed refuses who is not on the list before anything else is looked at.
func (in *Ingest) fromAllowed(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		addr := httpserver.ClientAddr(c)
		if in.cfg.Allow.allows(addr) {
			return h(c)
		}
		in.tellStranger(c, addr)
		return &httpserver.Error{
			Status: http.StatusForbidden, Code: "address_not_allowed",
			Message: "Deliveries are not taken from this address. If it is one that Auth0 delivers from, add it to ingest.allow; if it is a proxy's, name the proxy in trusted_proxies.",
		}
	}
}

func (in *Ingest) tellStranger(c echo.Context, addr netip.Addr) {
	if !in.strangers.isNews(addr, in.cfg.Now()) {
		return
	}
	attrs := []any{"remote", addr.String()}
	if tenant := c.Param("tenant"); schemas.CheckTenant(tenant) == nil {
		attrs = append(attrs, "tenant", tenant)
	}
	in.cfg.Logger.Warn("a delivery was refused, since ingest.allow lacks its address; further ones from there within ten minutes are only counted", attrs...)
}
