package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Names, ids and records are what somebody sent. A terminal obeys some of the
// characters that may be in them: those below U+0020, U+007F to U+009F, and those
// that turn the direction of a line. None of them reaches one as it is: cells of
// tables are printable, records legible, and JSON has them as \u escapes, which
// say the same. What is printed as it came, CSV and raw bytes, is legible where
// standard output is a terminal.

// printable keeps a text from moving a terminal's cursor or breaking a table.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// legible shows a text of several lines, and of what a terminal would take for
// commands which it is.
func legible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

// legibleWriter writes texts that are legible. A character may come in two
// pieces; what never became one is not written.
type legibleWriter struct {
	out  io.Writer
	rest []byte // the beginning of a character
}

// shown is out, legible where it is a terminal.
func shown(out io.Writer) io.Writer {
	if isTerminal(out) {
		return &legibleWriter{out: out}
	}
	return out
}

func (w *legibleWriter) Write(p []byte) (int, error) {
	text := append(w.rest, p...)
	end := len(text)
	for i := max(0, end-utf8.UTFMax+1); i < end; i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			end = i
		}
	}
	w.rest = bytes.Clone(text[end:])
	if _, err := io.WriteString(w.out, legible(string(text[:end]))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// writeJSONLine writes JSON on one line.
func writeJSONLine(w io.Writer, v any) error { return encodeJSON(w, v, "") }

func encodeJSON(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", indent)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(escapeJSON(b.Bytes()))
	return err
}

// escapeJSON writes what is not printable as escapes. It stands in strings alone;
// those below U+0020 are escaped there already.
func escapeJSON(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r < ' ' || unicode.IsPrint(r) {
			out = append(out, text[:n]...)
		} else {
			for _, unit := range utf16.AppendRune(nil, r) {
				out = fmt.Appendf(out, `\u%04x`, unit)
			}
		}
		text = text[n:]
	}
	return out
}
