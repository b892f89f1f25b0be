package httpserver

import (
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/labstack/echo/v4"
)

// Proxies are the networks of the proxies whose word is taken for who their
// client is. They can be replaced while they are in use. The zero value trusts
// nobody: a header can name any address.
type Proxies struct {
	extract atomic.Pointer[echo.IPExtractor]
}

// Replace makes networks the ones that are trusted from now on.
func (p *Proxies) Replace(networks []netip.Prefix) {
	// Echo trusts loopback and private networks unless it is told not to.
	options := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, n := range networks {
		options = append(options, echo.TrustIPRange(&net.IPNet{
			IP: n.Addr().AsSlice(), Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen()),
		}))
	}
	extract := echo.ExtractIPFromXFFHeader(options...)
	p.extract.Store(&extract)
}

// client is the nearest address that is no trusted proxy's: the peer, or where
// that is trusted the rightmost of X-Forwarded-For that is not. What a client
// itself has put into the header stands further to the left and is not looked
// at. A header that cannot be read counts for nothing.
func (p *Proxies) client(r *http.Request) string {
	if extract := p.extract.Load(); extract != nil {
		return (*extract)(r)
	}
	return peer(r)
}

// peer is the address of who holds the connection; "" on a socket.
var peer = echo.ExtractIPDirect()

// ClientAddr is the address of who sent a request, as Config.Proxies tell it.
// It is not valid on a socket.
func ClientAddr(c echo.Context) netip.Addr {
	addr, err := netip.ParseAddr(c.RealIP())
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap()
}
