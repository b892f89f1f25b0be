package query

// recent remembers about the last entries that were put into it: at least half of
// what it may hold, and all of that at most.
type recent struct {
	young, old map[uint64]uint64
	half       int
}

func newRecent(most int) *recent {
	return &recent{young: map[uint64]uint64{}, half: most / 2}
}

// get is what was put last under a key.
func (r *recent) get(key uint64) (uint64, bool) {
	value, ok := r.young[key]
	if !ok {
		value, ok = r.old[key]
	}
	return value, ok
}

func (r *recent) put(key, value uint64) {
	if len(r.young) >= r.half {
		r.old, r.young = r.young, map[uint64]uint64{}
	}
	r.young[key] = value
}
