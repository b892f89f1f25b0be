package schemas

import "context"

// HeaderTraceparent is the header, of W3C Trace Context's form, in which a
// message on LOGS names the span that it was published in.
const HeaderTraceparent = "traceparent"

type traceparentKey struct{}

// WithTraceparent returns a context in which a group is published with this
// traceparent.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceparentKey{}, traceparent)
}

// Traceparent is what WithTraceparent has put into ctx, "" without it.
func Traceparent(ctx context.Context) string {
	traceparent, _ := ctx.Value(traceparentKey{}).(string)
	return traceparent
}
