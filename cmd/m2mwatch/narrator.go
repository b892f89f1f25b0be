package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// narrator tells the demo's story, a line at a time. For a script it masks
// what differs from run to run: times, the address, the finding's id.
type narrator struct {
	out    io.Writer
	masked bool
}

func newNarrator(out io.Writer, masked bool) *narrator { return &narrator{out: out, masked: masked} }

var masks = []struct {
	pattern *regexp.Regexp
	mask    string
}{
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://127.0.0.1:8080"},
	{regexp.MustCompile(`\b\d+\.\d s\b`), "0.0 s"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "2026-01-01 00:00:00"},
	{regexp.MustCompile(`\b\d\d:\d\d\b`), "00:00"},
	{regexp.MustCompile(`\S+( findings show) [0-9a-f]{24}`), "m2mwatch$1 0123456789abcdef01234567"},
}

func (n *narrator) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if n.masked {
		for _, m := range masks {
			text = m.pattern.ReplaceAllString(text, m.mask)
		}
	}
	fmt.Fprintln(n.out, text)
}

// thousands writes 200000 as 200,000.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func hour(t time.Time) string { return t.Local().Format("15:04") }

func upper(l schemas.Level) string { return strings.ToUpper(string(l)) }
