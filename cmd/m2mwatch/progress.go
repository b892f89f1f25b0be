package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// progress is a bar on a terminal, and one line every ten seconds elsewhere.
type progress struct {
	out      io.Writer
	name     string
	terminal bool
	begun    time.Time
	shown    time.Time
}

func newProgress(out io.Writer, name string) *progress {
	now := time.Now()
	return &progress{out: out, name: name, terminal: isTerminal(out), begun: now, shown: now}
}

const barWidth = 30

// show tells how much of total is done; a total of 0 is unknown.
func (p *progress) show(done, total int64, text string) {
	now := time.Now()
	pause := 10 * time.Second
	if p.terminal {
		pause = 100 * time.Millisecond
	}
	if now.Sub(p.shown) < pause {
		return
	}
	p.shown = now
	line := p.name + "  " + text
	if total > 0 {
		share := min(float64(done)/float64(total), 1)
		filled := int(share * barWidth)
		line = fmt.Sprintf("%s  %s%s %3.0f%%  %s%s", p.name, strings.Repeat("█", filled), strings.Repeat("░", barWidth-filled), share*100, text, p.left(share, now))
	}
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

func (p *progress) left(share float64, now time.Time) string {
	if share < 0.02 {
		return ""
	}
	spent := now.Sub(p.begun)
	return fmt.Sprintf("  %s left", (time.Duration(float64(spent)/share) - spent).Round(time.Second))
}

// done takes the bar away.
func (p *progress) done() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
