package ingest

import (
	"maps"
	"net/netip"
	"sync"
	"time"
)

// strangers are the addresses that were refused lately, so that each is told
// once in a while. Whoever has a /64 of IPv6 has all addresses of it, so that
// counts as one.
type strangers struct {
	mu    sync.Mutex
	told  map[netip.Prefix]time.Time // guarded by mu; when each was told last
	swept time.Time                  // guarded by mu; when told was last cleared of old ones
}

const (
	strangerEvery = 10 * time.Minute
	// maxStrangers bounds the memory, and with it the lines in ten minutes;
	// beyond it addresses are not told.
	maxStrangers = 1024
)

func (s *strangers) isNews(addr netip.Addr, now time.Time) bool {
	bits := min(addr.BitLen(), 64)
	key, _ := addr.Prefix(bits) // an address that is not known has the zero prefix
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.told[key]
	if known && now.Sub(last) < strangerEvery {
		return false
	}
	if !known && !s.hasRoom(now) {
		return false
	}
	if s.told == nil {
		s.told = map[netip.Prefix]time.Time{}
	}
	s.told[key] = now
	return true
}

// hasRoom looks for old ones once in a while alone: it goes through all.
func (s *strangers) hasRoom(now time.Time) bool {
	if len(s.told) >= maxStrangers && now.Sub(s.swept) >= strangerEvery {
		s.swept = now
		maps.DeleteFunc(s.told, func(_ netip.Prefix, last time.Time) bool { return now.Sub(last) >= strangerEvery })
	}
	return len(s.told) < maxStrangers
}
