package query

// SetMaxSent makes streams of events end sooner.
func (a *API) SetMaxSent(n int) { a.maxSent = n }
