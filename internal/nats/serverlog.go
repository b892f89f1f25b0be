package nats

import (
	"fmt"
	"log/slog"
	"sync"
)

// serverLog hands the warnings and errors of the embedded server to slog and
// drops the rest. It keeps the first fatal text: the server gives no other
// sign of why it did not start.
type serverLog struct {
	log *slog.Logger

	mu    sync.Mutex // guards fatal
	fatal string
}

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("embedded nats server", "warning", fmt.Sprintf(format, v...))
}

func (l *serverLog) Errorf(format string, v ...any) {
	l.log.Error("embedded nats server", "error", fmt.Sprintf(format, v...))
}

// Fatalf does not end the process: the start fails with this text instead.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == "" {
		l.fatal = fmt.Sprintf(format, v...)
	}
}

// reason is the fatal text, or nothing.
func (l *serverLog) reason() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

func orDiscard(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}
