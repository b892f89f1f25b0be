package nats

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// The headers of a message in DEAD. Its payload is the raw log, nothing where
// headerObject names it, or, where headerPieces says of how many, a group of the
// pieces that were joined.
const (
	headerReason   = "M2m-Reason"
	headerCode     = "M2m-Code"
	headerSource   = "M2m-Source"
	headerIngested = "M2m-Ingested-At"
	headerTime     = "M2m-Time"
	headerMasked   = "M2m-Masked"
	headerSize     = "M2m-Size"
	headerObject   = "M2m-Object"
	headerPieces   = "M2m-Pieces"
)

// headerReplay names a replay, in LOGS on what it published and in DEAD on what
// of that was given up again.
const headerReplay = "M2m-Replay"

const (
	// maxHeaderText clips what is put into a header; with the fixed headers it
	// stays within headerRoom.
	maxHeaderText = 512
	maxHeaderWord = 64

	// noTenant stands in the subject where the tenant of a log is not known. It
	// is no tenant's name.
	noTenant = "_"

	// largeTimeout is for the whole way of a large log to the object store and back.
	largeTimeout = time.Minute
)

// PublishDead stores one log that cannot be read, whole. Where the same log of
// the same tenant is already in DEAD it stays as it is, and that is success.
//
// A log larger than a message goes to the object store first and then by its
// name to DEAD. A crash between the two leaves an object that no message
// names; the repeat finds it and goes on. A crash before leaves chunks that no
// object names; they are dropped when the store is full.
func (p *Publisher) PublishDead(ctx context.Context, d schemas.Dead) error {
	if err := p.publishDead(ctx, d); err != nil {
		return fmt.Errorf("publish a dead log of %q: %w", d.Tenant, err)
	}
	return nil
}

func (p *Publisher) publishDead(ctx context.Context, d schemas.Dead) error {
	if d.Object != "" {
		return errors.New("its bytes are in the object store already, want them here")
	}
	if schemas.CheckTenant(d.Tenant) != nil {
		d.Tenant = noTenant
	}
	d.Size = int64(len(d.Raw))
	payload := d.Raw
	if d.Pieces > 0 {
		payload = groupOf(&d)
	}
	if len(payload) > p.MaxGroup() || payload == nil && d.Pieces > 0 {
		payload, d.Pieces = d.Raw, 0 // it stays one log
	}
	if len(payload) > p.MaxGroup() {
		return p.publishLarge(ctx, d)
	}
	_, err := p.publishDeadMessage(ctx, d, payload)
	return err
}

// groupOf frames the logs that d holds, nil where nothing says whose they are.
func groupOf(d *schemas.Dead) []byte {
	if schemas.CheckTenant(d.Tenant) != nil || !d.Source.Valid() {
		return nil
	}
	group := schemas.AppendGroupHeader(nil, d.Tenant, d.Source, d.IngestedAt)
	for raw := range d.Logs() {
		group = schemas.AppendGroupLog(group, raw, d.Masked)
	}
	return group
}

// publishLarge puts the log into the object store, and then its name into DEAD.
// Somebody who removes an earlier copy of the log may take the object away
// between the two, so it is kept once more. Where DEAD had the name, what is
// removed is the log itself, and this was a repeat of it.
func (p *Publisher) publishLarge(ctx context.Context, d schemas.Dead) error {
	for {
		var err error
		if d.Object, err = p.putLarge(ctx, d); err != nil {
			return err
		}
		p.afterPut()
		stored, err := p.publishDeadMessage(ctx, d, nil)
		if err != nil || !stored {
			return err
		}
		if kept, err := p.keepObject(ctx, d.Object); err != nil || kept {
			return err
		}
	}
}

// publishDeadMessage reports false where DEAD has the log already.
func (p *Publisher) publishDeadMessage(ctx context.Context, d schemas.Dead, payload []byte) (stored bool, err error) {
	msg := newMessage(schemas.StreamDead, schemas.SubjectDead(d.Tenant, d.Raw, d.Replay), payload)
	setDeadHeaders(msg.Header, d)
	err = p.publish(ctx, msg)
	if taken(err) {
		return false, nil
	}
	return err == nil, err
}

func setDeadHeaders(h nats.Header, d schemas.Dead) {
	h[headerReason] = []string{headerText(d.Reason, maxHeaderText)}
	h[headerSource] = []string{d.Source.String()}
	h[headerTime] = []string{d.Time.UTC().Format(time.RFC3339Nano)}
	h[headerSize] = []string{strconv.FormatInt(d.Size, 10)}
	if d.Code != "" {
		h[headerCode] = []string{headerText(string(d.Code), maxHeaderWord)}
	}
	if !d.IngestedAt.IsZero() {
		h[headerIngested] = []string{d.IngestedAt.UTC().Format(time.RFC3339Nano)}
	}
	if d.Replay != "" {
		h[headerReplay] = []string{headerText(d.Replay, maxHeaderWord)}
	}
	if d.Masked {
		h[headerMasked] = []string{"true"}
	}
	if d.Object != "" {
		h[headerObject] = []string{d.Object}
	}
	if d.Pieces > 0 {
		h[headerPieces] = []string{strconv.Itoa(d.Pieces)}
	}
}

// headerText makes s fit for a header: one line, printable, at most limit bytes.
func headerText(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > limit {
		cut := limit - len("…")
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.TrimSpace(s)
}

// putLarge stores the raw log as an object and returns its name, which is a
// hash of what its subject is a hash of: a repeat finds it and writes nothing.
func (p *Publisher) putLarge(ctx context.Context, d schemas.Dead) (string, error) {
	select {
	case p.large <- struct{}{}:
		defer func() { <-p.large }()
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, largeTimeout)
	defer cancel()
	store, err := p.conn.js.ObjectStore(ctx, schemas.BucketDead)
	if err != nil {
		return "", fmt.Errorf("open the object store: %w", err)
	}
	name, digest := objectName(&d), objectDigest(d.Raw)
	if info, err := store.GetInfo(ctx, name); err == nil && info.Digest == digest && p.verifyObject(ctx, store, name) == nil {
		return name, nil
	}
	if err := p.putObject(ctx, store, name, d.Raw); err != nil {
		return "", fmt.Errorf("store %d bytes as an object: %w", len(d.Raw), err)
	}
	return name, p.verifyObject(ctx, store, name)
}

// putObject puts once more where the store is full and orphans made room.
func (p *Publisher) putObject(ctx context.Context, store jetstream.ObjectStore, name string, raw []byte) error {
	err := p.writeObject(ctx, name, raw)
	if !errors.Is(err, schemas.ErrFull) {
		return err
	}
	if dropped, lookErr := p.dropOrphans(ctx, store); lookErr != nil || !dropped {
		return errors.Join(err, lookErr)
	}
	return p.writeObject(ctx, name, raw)
}

// verifyObject reads an object once, and compares the digest: one that was there,
// or that somebody else puts meanwhile, may lack chunks.
func (p *Publisher) verifyObject(ctx context.Context, store jetstream.ObjectStore, name string) error {
	info, err := store.GetInfo(ctx, name)
	if err == nil {
		_, err = io.Copy(io.Discard, p.conn.objectReader(ctx, info))
	}
	if err != nil {
		return fmt.Errorf("read the stored object back: %w", err)
	}
	return nil
}

// subjects counts the messages of a stream by subject.
func (c *Conn) subjects(ctx context.Context, stream, filter string) (map[string]uint64, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, err
	}
	return info.State.Subjects, nil
}

func objectName(d *schemas.Dead) string {
	h := sha256.New()
	h.Write([]byte(d.Tenant))
	h.Write([]byte{0}) // no tenant's name holds it
	h.Write(d.Raw)
	if d.Replay != "" {
		h.Write([]byte{0})
		h.Write([]byte(d.Replay))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func objectDigest(raw []byte) string {
	h := sha256.New()
	h.Write(raw)
	return digestOf(h)
}

// readDead reads what PublishDead wrote. It does not fail: a header that does
// not parse must not hide the log.
func readDead(msg *jetstream.RawStreamMsg) schemas.Dead {
	d := schemas.Dead{
		ID:     msg.Sequence,
		Code:   schemas.DeadCode(msg.Header.Get(headerCode)),
		Reason: msg.Header.Get(headerReason),
		Masked: msg.Header.Get(headerMasked) == "true",
		Object: msg.Header.Get(headerObject),
		Replay: msg.Header.Get(headerReplay),
		Raw:    msg.Data,
		Size:   int64(len(msg.Data)),
	}
	if tokens := strings.Split(msg.Subject, "."); len(tokens) > 1 && tokens[1] != noTenant {
		d.Tenant = tokens[1]
	}
	if source, err := schemas.ParseSource(msg.Header.Get(headerSource)); err == nil {
		d.Source = source
	}
	d.Time = msg.Time.UTC()
	if t, err := time.Parse(time.RFC3339Nano, msg.Header.Get(headerTime)); err == nil {
		d.Time = t.UTC()
	}
	d.IngestedAt = d.Time
	if t, err := time.Parse(time.RFC3339Nano, msg.Header.Get(headerIngested)); err == nil {
		d.IngestedAt = t.UTC()
	}
	if n, err := strconv.ParseInt(msg.Header.Get(headerSize), 10, 64); err == nil {
		d.Size = n
	}
	readPieces(&d, msg.Header.Get(headerPieces))
	return d
}

// readPieces takes the pieces out of their group, where there is one: a listing
// has headers alone.
func readPieces(d *schemas.Dead, header string) {
	n, err := strconv.Atoi(header)
	if err != nil || n < 1 {
		return
	}
	d.Pieces = n
	logs, err := schemas.DecodeGroup(nil, d.Raw)
	if err != nil {
		return
	}
	joined := make([]byte, 0, d.Size)
	for i := range logs {
		joined = append(append(joined, logs[i].Raw...), '\n')
		d.Lengths = append(d.Lengths, len(logs[i].Raw))
	}
	d.Raw = joined
}

// DeadObject reads a large dead log by the name in Dead.Object. A log larger
// than maxBytes is refused before it is read. An error that wraps
// schemas.ErrNotFound means that there is none of that name.
func (c *Conn) DeadObject(ctx context.Context, name string, maxBytes int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, largeTimeout)
	defer cancel()
	store, err := c.js.ObjectStore(ctx, schemas.BucketDead)
	if err != nil {
		return nil, fmt.Errorf("open the object store: %w", err)
	}
	info, err := store.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, fmt.Errorf("dead log %s: %w", name, schemas.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("read dead log %s: %w", name, err)
	}
	if info.Size > uint64(max(maxBytes, 0)) {
		return nil, fmt.Errorf("read dead log %s: %d bytes, at most %d are wanted", name, info.Size, maxBytes)
	}
	raw := bytes.NewBuffer(make([]byte, 0, info.Size+bytes.MinRead))
	if _, err := raw.ReadFrom(c.objectReader(ctx, info)); err != nil {
		return nil, fmt.Errorf("read dead log %s: %w", name, err)
	}
	return raw.Bytes(), nil
}
