package detect

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// text is a template of a rule, for people.
type text struct{ *template.Template }

// Summary is what the text of x-alert may say.
type Summary struct {
	Key      string
	Count    uint64
	Normal   string // successes a day, rounded
	Networks []string
	Evidence string // the texts of the evidence, each behind a semicolon
	facts    map[string]string
}

// Fact is what the kind of the rule tells under a name, "" where it does not.
func (s Summary) Fact(name string) string { return s.facts[name] }

// related is what the text of an evidence may say.
type related struct {
	When string // "2 minutes before", "3 hours after the first"
	Time string
}

var (
	summarySample  = Summary{Key: "k", Count: 1, Normal: "1", Networks: []string{"192.0.2.0/24"}}
	evidenceSample = related{When: "2 minutes before", Time: "12:04"}
)

// template reads a text and tries it on a sample, so that a field which does
// not exist is an error at load.
func (d *document) template(key string, sample any) *text {
	n := d.need(key)
	if n == nil {
		return nil
	}
	t, err := template.New(key).Funcs(template.FuncMap{"plural": plural}).Parse(d.scalar(key, n))
	if err != nil {
		d.on(n, "%s: %v", key, err)
		return nil
	}
	if err := t.Execute(&bounded{}, sample); err != nil {
		d.on(n, "%s: %v", key, err)
		return nil
	}
	return &text{t}
}

// bounded is a writer that a text must fit in.
type bounded struct{ strings.Builder }

const maxText = 4096

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxText {
		return 0, fmt.Errorf("the text is longer than %d bytes", maxText)
	}
	return b.Builder.Write(p)
}

// String writes the text; an error that the sample did not show leaves what
// was written until then.
func (t *text) String(data any) string {
	var b bounded
	_ = t.Execute(&b, data)
	return strings.TrimSpace(b.String())
}

// plural counts a noun: 1 request, 2 requests.
func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatUint(n, 10) + " " + noun + "s"
}

// Summary says in one sentence what a row of Query means, with the matches of
// its evidence that were found for the same key.
func (c *Correlation) Summary(row schemas.CorrelationRow, found []Found) string {
	if c.summary == nil {
		return plural(row.Count, "event") + ": " + c.Title
	}
	var evidence strings.Builder
	for i := range c.Evidence {
		if f, ok := closest(found, i, row.First); ok {
			evidence.WriteString("; ")
			evidence.WriteString(c.Evidence[i].text.String(related{When: when(f.Time, row.First), Time: time.UnixMilli(int64(f.Time)).UTC().Format("2006-01-02 15:04 UTC")}))
		}
	}
	return c.summary.String(Summary{
		Key:      strings.ReplaceAll(row.Key, schemas.PartSeparator, " / "),
		Count:    row.Count,
		Normal:   strconv.FormatFloat(math.Round(NormalPerDay(row)), 'f', 0, 64),
		Networks: row.Values,
		Evidence: evidence.String(),
		facts:    row.Facts,
	})
}

// NormalPerDay is how many successes a day the row's key had before.
func NormalPerDay(row schemas.CorrelationRow) float64 {
	if row.BaselineDays <= 0 {
		return 0
	}
	return float64(row.Baseline) / row.BaselineDays
}

// Found is one match of the evidence of a correlation.
type Found struct {
	Evidence int // index in Correlation.Evidence
	Key      string
	Time     uint64 // Unix milliseconds
	LogID    string
}

// closest is the last match of an evidence before the finding began, or else
// the first one after.
func closest(found []Found, evidence int, first uint64) (best Found, ok bool) {
	for _, f := range found {
		if f.Evidence != evidence {
			continue
		}
		if !ok || f.Time <= first || best.Time > first && f.Time < best.Time {
			best, ok = f, true
		}
	}
	return best, ok
}

// when tells the distance of t from the first event of a finding.
func when(t, first uint64) string {
	if t <= first {
		return span(first-t) + " before"
	}
	return span(t-first) + " after the first"
}

// span is a length of time in the largest unit of which it has two, or else
// in the next smaller.
func span(ms uint64) string {
	seconds := ms / 1000
	switch {
	case seconds >= 2*86400:
		return plural(seconds/86400, "day")
	case seconds >= 2*3600:
		return plural(seconds/3600, "hour")
	case seconds >= 60:
		return plural(seconds/60, "minute")
	case seconds < 1:
		return "a moment"
	}
	return plural(seconds, "second")
}
