package detect_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// occurrence is one event of a key, as the oracle of Sigma's correlations sees it.
type occurrence struct {
	t                      uint64
	logID                  string
	typ                    string // a, b, c, ab: what the rules select; k is known, u bars
	value, number, network string
	imported               bool
	real                   string // whom it names, where that is somebody
}

func compareOccurrences(a, b occurrence) int {
	return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.logID, b.logID))
}

// variation is a correlation under test.
type variation struct {
	typ               string
	rules             []string
	timespan, dedupe  time.Duration
	conditions        map[string]float64
	known, isNew, own time.Duration
	history, unless   time.Duration
	usual             time.Duration
	days, times, more uint64
	strangers         bool
}

// text writes it as a document.
func (v *variation) text(n int) string {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) + "s" }
	var b strings.Builder
	fmt.Fprintf(&b, "---\ntitle: Variation %d\nid: 00000000-0000-4000-8000-%012d\ncorrelation:\n  type: %s\n  rules: [%s]\n  group-by: [client_id]\n  timespan: %s\n", n, 1000+n, v.typ, strings.Join(v.rules, ", "), seconds(v.timespan))
	if len(v.conditions) > 0 {
		b.WriteString("  condition:\n")
	}
	for _, op := range []string{"gte", "gt", "lte", "lt", "eq"} {
		if value, ok := v.conditions[op]; ok {
			fmt.Fprintf(&b, "    %s: %v\n", op, value)
		}
	}
	switch v.typ {
	case "value_count":
		b.WriteString("    field: data.user_id\n")
	case "value_sum", "value_avg":
		b.WriteString("    field: organization_id\n")
	}
	fmt.Fprintf(&b, "x-dedupe: %s\n", seconds(v.dedupe))
	if v.known > 0 {
		fmt.Fprintf(&b, "x-known: {rule: k, field: network, lookback: %s}\n", seconds(v.known))
	}
	if v.own > 0 {
		fmt.Fprintf(&b, "x-own: {rule: k, field: network, lookback: %s}\n", seconds(v.own))
	}
	if v.isNew > 0 {
		fmt.Fprintf(&b, "x-new: {field: network, lookback: %s, history: %s}\n", seconds(v.isNew), seconds(v.history))
	}
	if v.unless > 0 {
		fmt.Fprintf(&b, "x-unless: {rule: u, within: %s}\n", seconds(v.unless))
	}
	if v.usual > 0 {
		fmt.Fprintf(&b, "x-usual: {lookback: %s, days: %d, times: %d, more: %d}\n", seconds(v.usual), v.days, v.times, v.more)
	}
	return b.String()
}

// selects reports whether a rule of the test selects the event.
func (o occurrence) selectedBy(rule string) bool { return strings.Contains(o.typ, rule) }

func (v *variation) main(o occurrence) bool {
	return slices.ContainsFunc(v.rules, o.selectedBy)
}

// value is what the variation compares.
func (v *variation) value(o occurrence) string {
	switch v.typ {
	case "value_count":
		return o.value
	case "value_sum", "value_avg":
		return o.number
	}
	return o.network
}

// counts reports whether the event at i counts, of all, which are sorted.
func (v *variation) counts(all []occurrence, i int) bool {
	o := all[i]
	if !v.main(o) {
		return false
	}
	switch v.typ {
	case "value_count":
		if o.value == "" {
			return false
		}
	case "value_sum", "value_avg":
		if _, err := strconv.ParseFloat(o.number, 64); err != nil {
			return false
		}
	}
	within := func(p occurrence, d time.Duration) bool { return p.t+ms(d) >= o.t }
	known := func(lookback time.Duration) bool {
		return slices.ContainsFunc(all[:i], func(p occurrence) bool {
			return p.selectedBy("k") && p.network == o.network && within(p, lookback)
		})
	}
	if v.known > 0 && !known(v.known) || v.own > 0 && o.network != "" && known(v.own) {
		return false
	}
	if v.isNew > 0 {
		before := func(p occurrence) bool { return v.main(p) && p.network == o.network && within(p, v.isNew) }
		aged := func(p occurrence) bool { return v.main(p) && within(p, v.isNew) && p.t+ms(v.history) <= o.t }
		if o.network == "" || slices.ContainsFunc(all[:i], before) || !slices.ContainsFunc(all, aged) {
			return false
		}
	}
	return true
}

func ms(d time.Duration) uint64 { return uint64(d.Milliseconds()) }

// measure is taken at the event at i of those that count.
func (v *variation) measure(counting []occurrence, i int) float64 {
	values, n, sum := map[string]bool{}, 0.0, 0.0
	for j := i; j >= 0 && counting[j].t+ms(v.timespan) >= counting[i].t; j-- {
		n++
		values[counting[j].value] = true
		number, _ := strconv.ParseFloat(counting[j].number, 64)
		sum += number
	}
	switch v.typ {
	case "value_count":
		return float64(len(values))
	case "value_sum":
		return sum
	case "value_avg":
		return sum / n
	}
	return n
}

func (v *variation) holds(measure float64) bool {
	for op, value := range v.conditions {
		if !map[string]bool{
			"gte": measure >= value, "gt": measure > value, "lte": measure <= value, "lt": measure < value, "eq": measure == value,
		}[op] {
			return false
		}
	}
	return true
}

// judged is an event that counts, and whether it triggers.
type judged struct {
	occurrence
	triggers       bool
	measure, usual float64
}

// judge tells which events trigger, by the words of the kinds' comments.
func (v *variation) judge(all []occurrence) []judged {
	if strings.HasPrefix(v.typ, "temporal") {
		return v.judgeTogether(all)
	}
	var counting []occurrence
	for i := range all {
		if v.counts(all, i) {
			counting = append(counting, all[i])
		}
	}
	var list []judged
	daily := map[uint64]float64{}
	for i, o := range counting {
		m := v.measure(counting, i)
		daily[o.t/86_400_000] = max(daily[o.t/86_400_000], m)
		list = append(list, judged{o, v.holds(m), m, 0})
	}
	for i := range list {
		o := &list[i]
		if v.unless > 0 && slices.ContainsFunc(all, func(p occurrence) bool {
			return p.selectedBy("u") && compareOccurrences(p, o.occurrence) <= 0 && p.t+ms(v.unless) >= o.t
		}) {
			o.triggers = false
		}
		if v.usual > 0 {
			days := uint64(0)
			for day, most := range daily {
				if today := o.t / 86_400_000; day < today && day+uint64(v.usual.Hours()/24) >= today {
					days++
					o.usual = max(o.usual, most)
				}
			}
			o.triggers = o.triggers && days >= v.days && o.measure > o.usual && o.measure >= o.usual*float64(v.times)+float64(v.more)
		}
	}
	return list
}

func (v *variation) judgeTogether(all []occurrence) []judged {
	var list []judged
	for i, o := range all {
		if !v.main(o) {
			continue
		}
		j := judged{occurrence: o}
		if v.typ == "temporal_ordered" {
			j.triggers = v.endsInOrder(all, i, len(v.rules)-1, o.t)
		} else {
			have := 0
			for _, rule := range v.rules {
				if slices.ContainsFunc(all[:i+1], func(p occurrence) bool { return p.selectedBy(rule) && p.t+ms(v.timespan) >= o.t }) {
					have++
				}
			}
			j.triggers = have >= len(v.rules)
			if n, ok := v.conditions["gte"]; ok {
				j.triggers = have >= int(n)
			}
		}
		list = append(list, j)
	}
	return list
}

// endsInOrder reports whether the event at i is of rule n, behind one of each rule
// before it, none of them older than the time span at the end.
func (v *variation) endsInOrder(all []occurrence, i, n int, end uint64) bool {
	if !all[i].selectedBy(v.rules[n]) || all[i].t+ms(v.timespan) < end {
		return false
	}
	if n == 0 {
		return true
	}
	for j := i - 1; j >= 0; j-- {
		if v.endsInOrder(all, j, n-1, end) {
			return true
		}
	}
	return false
}

// oracle is what the correlation must find of one key in [from, to).
func (v *variation) oracle(key string, all []occurrence, from, to time.Time) []schemas.CorrelationRow {
	all = slices.Clone(all)
	slices.SortFunc(all, compareOccurrences)
	list := v.judge(all)
	var rows []schemas.CorrelationRow
	for period := uint64(from.UnixMilli()); period < uint64(to.UnixMilli()); period += ms(v.dedupe) {
		if row, ok := v.finding(key, list, period); ok {
			rows = append(rows, row)
		}
	}
	return rows
}

func (v *variation) finding(key string, list []judged, period uint64) (row schemas.CorrelationRow, found bool) {
	row = schemas.CorrelationRow{Key: key, Period: period, Imported: 1}
	values, actual, most, usual := map[string]bool{}, map[string]bool{}, math.Inf(-1), 0.0
	for i, o := range list {
		if !slices.ContainsFunc(list[i:], func(e judged) bool {
			return e.triggers && e.t/ms(v.dedupe)*ms(v.dedupe) == period && o.t+ms(v.timespan) >= e.t
		}) {
			continue
		}
		if !found {
			row.First, found = o.t, true
		}
		row.Last = o.t
		row.Count++
		row.LogIDs = append(row.LogIDs, o.logID)
		values[v.value(o.occurrence)] = true
		if o.real != "" {
			actual[o.real] = true
		}
		if !o.imported {
			row.Imported = 0
		}
		if o.triggers && o.t/ms(v.dedupe)*ms(v.dedupe) == period {
			most, usual = max(most, o.measure), max(usual, o.usual)
		}
	}
	for value := range values {
		if value != "" {
			row.Values = append(row.Values, value)
		}
	}
	slices.Sort(row.Values)
	row.Values, row.LogIDs = row.Values[:min(20, len(row.Values))], row.LogIDs[:min(20, len(row.LogIDs))]
	row.Facts = map[string]string{"distinct": strconv.Itoa(len(values))}
	if !strings.HasPrefix(v.typ, "temporal") {
		row.Facts["most"] = number(most)
	}
	if v.strangers {
		row.Facts["real"] = strconv.Itoa(len(actual))
	}
	if v.usual > 0 {
		row.Facts["usual"] = number(usual)
	}
	return row, found
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
