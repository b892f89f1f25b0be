package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size, written 1048576, 1MiB, 512KiB or 20GiB.
type Bytes int64

var byteUnits = []struct {
	suffix string
	factor int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}

// UnmarshalText reads the forms above.
func (b *Bytes) UnmarshalText(text []byte) error {
	s, factor := strings.TrimSpace(string(text)), int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = strings.TrimSpace(rest), u.factor
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return fmt.Errorf("size %q: want bytes, or a number with KiB, MiB, GiB or TiB", text)
	}
	*b = Bytes(n * factor)
	return nil
}

// MarshalText writes the largest unit that divides the size.
func (b Bytes) MarshalText() ([]byte, error) {
	for _, u := range slices.Backward(byteUnits) {
		if b != 0 && int64(b)%u.factor == 0 {
			return []byte(strconv.FormatInt(int64(b)/u.factor, 10) + u.suffix), nil
		}
	}
	return []byte(strconv.FormatInt(int64(b), 10)), nil
}

// Duration is a span, written 500ms, 30s or 2m.
type Duration time.Duration

// UnmarshalText reads the forms above.
func (d *Duration) UnmarshalText(text []byte) error {
	span, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("span %q: want a number with ms, s, m or h", text)
	}
	*d = Duration(span)
	return nil
}

// MarshalText writes the span as it is read.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// Days is a span of whole days, written 400d, or 0 for "for ever".
type Days int

// UnmarshalText reads the forms above.
func (d *Days) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(string(text)), "d"))
	if err != nil || n < 0 {
		return fmt.Errorf("span %q: want days such as 400d, or 0 for ever", text)
	}
	*d = Days(n)
	return nil
}

// MarshalText writes the span as it is read.
func (d Days) MarshalText() ([]byte, error) { return []byte(strconv.Itoa(int(d)) + "d"), nil }

// Duration is the span as a time.Duration; 0 means for ever.
func (d Days) Duration() time.Duration { return time.Duration(d) * 24 * time.Hour }
