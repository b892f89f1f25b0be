package ingest

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// takePulled takes logs in that this process has fetched: as the body of a request,
// but for its secret and its limit, which are for senders.
func (in *Ingest) takePulled(ctx context.Context, tenant string, source schemas.Source, logs []json.RawMessage) (got schemas.Accepted, err error) {
	leave, err := in.enter()
	if err != nil {
		return got, err
	}
	defer leave()
	body := arrayOf(logs)
	size := body.Size()
	if in.cfg.Tracer != nil {
		traced, end := in.cfg.Tracer.Request(ctx, "pull", tenant, source, "")
		ctx = traced
		defer func() { end(statusOf(err), got, size) }()
	}
	return in.take(ctx, delivery{tenant: tenant, source: source, maxBody: max(DefaultMaxBody, size)}, body)
}

// arrayOf is logs as a JSON array, each as it was answered.
func arrayOf(logs []json.RawMessage) *bytes.Reader {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, raw := range logs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(raw)
	}
	b.WriteByte(']')
	return bytes.NewReader(b.Bytes())
}
