package nats

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// A large dead log is an object and a message that names it. Who publishes one
// and who removes one do not know of each other, and may be two processes:
//
//	publish                          remove
//	1. object, unless it is there    1. object
//	2. message, unless DEAD has it   2. message
//	3. keep the object               3. object, unless a message names it
//
// The third steps are what makes the two agree: each is on condition that the
// name of the object is the one that was looked at, and a publisher's writes it
// anew. So of a publisher that has stored its message and a remover that has seen
// none, one fails: the publisher puts the object once more, or the remover looks
// again. A publisher whose message DEAD had already is done: its object stays
// for as long as that message.

// maxChunk is how much of an object one message has.
const maxChunk = 128 << 10

// writeObject writes an object in the library's form. The library's own way
// leaves chunks that nothing names where two write the same object, sends a chunk
// again after it has filled its buffer anew, and needs messages of 128 KiB.
//
//  1. the chunks, under an id of their own
//  2. the name, on condition that it is the one that was there before
//
// Whoever comes second leaves the object to the first. A crash leaves chunks that
// no object names.
func (p *Publisher) writeObject(ctx context.Context, name string, raw []byte) error {
	before, err := p.conn.stored(ctx, streamDeadLarge, map[string]any{"last_by_subj": nameSubject(name)})
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return err
	}
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name}, Bucket: schemas.BucketDead, NUID: rand.Text(),
		Size: uint64(len(raw)), Digest: objectDigest(raw),
	}
	for chunk := range slices.Chunk(raw, min(maxChunk, p.MaxGroup())) {
		msg := newMessage(streamDeadLarge, chunkSubject(info.NUID), chunk)
		msg.Header[jetstream.MsgIDHeader] = []string{info.NUID + "." + strconv.Itoa(int(info.Chunks))}
		if err := p.publish(ctx, msg); err != nil {
			return errors.Join(err, p.dropChunks(ctx, info.NUID))
		}
		info.Chunks++
	}
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	written, err := p.writeName(ctx, name, data, before.Sequence)
	if err == nil && !written { // or it is ours, and its ack was lost
		is, lookErr := p.conn.stored(ctx, streamDeadLarge, map[string]any{"last_by_subj": nameSubject(name)})
		if written = lookErr == nil && bytes.Equal(is.Data, data); lookErr != nil && !errors.Is(lookErr, jetstream.ErrMsgNotFound) {
			return lookErr
		}
	}
	var old jetstream.ObjectInfo
	switch {
	case !written:
		return errors.Join(err, p.dropChunks(ctx, info.NUID))
	case json.Unmarshal(before.Data, &old) == nil && old.NUID != "":
		return p.dropChunks(ctx, old.NUID)
	}
	return nil
}

// writeName writes the name of an object, and reports false where the last one
// is not the one of that number; 0 is none.
func (p *Publisher) writeName(ctx context.Context, name string, data []byte, before uint64) (bool, error) {
	msg := newMessage(streamDeadLarge, nameSubject(name), data)
	msg.Header[jetstream.MsgRollup] = []string{jetstream.MsgRollupSubject}
	msg.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(before, 10)}
	err := p.publish(ctx, msg)
	if code, _ := apiError(err); code == codeWrongLast {
		return false, nil
	}
	return err == nil, err
}

// dropChunks removes the chunks of an object without a name.
func (p *Publisher) dropChunks(ctx context.Context, id string) error {
	stream, err := p.conn.js.Stream(ctx, streamDeadLarge)
	if err != nil {
		return err
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(chunkSubject(id)))
}

// keepObject writes the name of an object anew, and reports false where it is
// gone, or somebody else has.
func (p *Publisher) keepObject(ctx context.Context, name string) (kept bool, err error) {
	is, err := p.conn.stored(ctx, streamDeadLarge, map[string]any{"last_by_subj": nameSubject(name)})
	if err == nil {
		kept, err = p.writeName(ctx, name, is.Data, is.Sequence)
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("keep object %s: %w", name, err)
	}
	return kept, nil
}

// codeWrongLast is the server's answer where the last message of a subject is not
// the one that was expected.
const codeWrongLast = jetstream.ErrorCode(10071)

// dropObject removes an object: its name first, so that what is left after a
// crash are chunks that no object names (see dropOrphans). The library's own
// way leaves the name with a mark, and writes that: a store that is full would
// refuse it. Where needed says that the object is, it stays.
func (s *DeadStore) dropObject(ctx context.Context, name string, needed func(context.Context) (bool, error)) error {
	stream, err := s.conn.js.Stream(ctx, streamDeadLarge)
	if err != nil {
		return err
	}
	for {
		is, err := s.conn.stored(ctx, streamDeadLarge, map[string]any{"last_by_subj": nameSubject(name)})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if stays, err := needed(ctx); err != nil || stays {
			return err
		}
		s.at("object_found")
		var info jetstream.ObjectInfo
		if err := json.Unmarshal(is.Data, &info); err != nil {
			return fmt.Errorf("read the name of the object: %w", err)
		}
		if gone, err := deleteMessage(ctx, stream, is.Sequence); err != nil {
			return err
		} else if gone && info.NUID != "" {
			return s.publisher.dropChunks(ctx, info.NUID)
		}
	}
}

// deleteMessage takes a message out of a stream, and reports false where it was
// not there any more.
func deleteMessage(ctx context.Context, stream jetstream.Stream, id uint64) (bool, error) {
	err := stream.DeleteMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		if _, lookErr := stream.GetMsg(ctx, id); errors.Is(lookErr, jetstream.ErrMsgNotFound) {
			return false, nil
		}
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil, err
}

// objectReader reads the bytes of an object. The library's own reader waits for
// chunks that are missing; this one says so.
type objectReader struct {
	ctx   context.Context
	conn  *Conn
	info  *jetstream.ObjectInfo
	next  uint64 // where the next chunk may be
	read  uint64 // bytes
	chunk []byte
	hash  hash.Hash
}

func (c *Conn) objectReader(ctx context.Context, info *jetstream.ObjectInfo) *objectReader {
	return &objectReader{ctx: ctx, conn: c, info: info, next: 1, hash: sha256.New()}
}

func (r *objectReader) Read(p []byte) (int, error) {
	for len(r.chunk) == 0 {
		if r.read >= r.info.Size {
			if digestOf(r.hash) != r.info.Digest {
				return 0, errors.New("the bytes of the object are not those that were stored")
			}
			return 0, io.EOF
		}
		msg, err := r.conn.stored(r.ctx, streamDeadLarge, map[string]any{"seq": r.next, "next_by_subj": chunkSubject(r.info.NUID)})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, fmt.Errorf("%d of the %d bytes of the object are stored", r.read, r.info.Size)
		}
		if err != nil {
			return 0, err
		}
		r.hash.Write(msg.Data)
		r.chunk, r.next, r.read = msg.Data, msg.Sequence+1, r.read+uint64(len(msg.Data))
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

// storedMessage is a message of a stream.
type storedMessage struct {
	Subject  string `json:"subject"`
	Sequence uint64 `json:"seq"`
	Data     []byte `json:"data"`
}

// stored asks the leader of a stream for a message. The library would ask any
// replica of an object store, which may not have it yet, or have it still.
func (c *Conn) stored(ctx context.Context, stream string, which map[string]any) (storedMessage, error) {
	var answer struct {
		Message storedMessage       `json:"message"`
		Error   *jetstream.APIError `json:"error"`
	}
	request, err := json.Marshal(which)
	if err != nil {
		return answer.Message, err
	}
	ctx, cancel := context.WithTimeout(ctx, defaultAttemptTimeout)
	defer cancel()
	msg, err := c.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, request)
	if err != nil {
		return answer.Message, err
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return answer.Message, fmt.Errorf("read the server's answer: %w", err)
	}
	switch {
	case answer.Error == nil:
		return answer.Message, nil
	case answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return answer.Message, jetstream.ErrMsgNotFound
	}
	return answer.Message, answer.Error
}

// digestOf is how the library writes the digest of an object.
func digestOf(h hash.Hash) string { return "SHA-256=" + base64.URLEncoding.EncodeToString(h.Sum(nil)) }
