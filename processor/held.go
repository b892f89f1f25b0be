package processor

import (
	"sync"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// heldMessages are the messages between fetch and ack. As long as one is here
// the broker hears that it is in progress, however long a flush takes or the
// store is away: it is never delivered a second time for slowness alone.
type heldMessages struct {
	mu       sync.Mutex
	messages map[schemas.Message]struct{} // guarded by mu
}

func newHeldMessages() *heldMessages {
	return &heldMessages{messages: map[schemas.Message]struct{}{}}
}

func (h *heldMessages) add(m schemas.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages[m] = struct{}{}
}

// release ends the reports on messages. After it has returned none of them is
// reported again, so that an ack is the last word on a message.
func (h *heldMessages) release(messages []schemas.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range messages {
		delete(h.messages, m)
	}
}

func (h *heldMessages) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.messages)
}

// report tells the broker of every message. Its errors are dropped: there is
// nothing to do but to tell it again, which the next round does.
func (h *heldMessages) report() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for m := range h.messages {
		_ = m.InProgress()
	}
}

// keep reports every interval until stop is closed.
func (h *heldMessages) keep(interval time.Duration, stop <-chan struct{}) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.report()
		case <-stop:
			return
		}
	}
}
