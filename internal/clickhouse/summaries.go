package clickhouse

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Pages counts the pages that a channel has taken since a time, but for that of one
// alert. One of a former build counts, too.
func (s *FindingStore) Pages(ctx context.Context, channel, except string, since time.Time) (uint64, error) {
	w := where{}
	w.and("channel = {channel:String}", "channel", channel)
	w.and("time > "+milliseconds("since"), "since", since.UnixMilli())
	w.and("alert_id != {except:String}", "except", except)
	w.conditions = append(w.conditions, "ok = 1", "kind IN ('page', '')")
	return s.count(ctx, "count the pages of a channel", w.query("SELECT uniqExact(alert_id) FROM deliveries\n", ""))
}

func (s *FindingStore) count(ctx context.Context, attempt string, q schemas.Query) (uint64, error) {
	rows, err := collect(ctx, s.db.conn, attempt, q, func(scan scanner) (n uint64, err error) {
		err = scan(&n)
		return n, err
	})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0], nil
}

// selectTold tells pages from ends: a row of a former build is a page. The number of an
// end is what its alert's id ends with.
const selectTold = `SELECT
    maxIf(ok = 1, kind != 'end'), maxIf(summary != '', kind != 'end'),
    arraySort(groupUniqArrayIf(CAST(level, 'String'), ok = 1 AND kind != 'end' AND level != '')),
    maxIf(toUInt64OrZero(splitByChar('/', alert_id)[-1]), kind = 'end' AND (summary != '' OR ` + itIsOver + `))
FROM deliveries
`

// Told says what became of the pages of a finding on a channel, and of its ends.
func (s *FindingStore) Told(ctx context.Context, channel, tenant, findingID string) (schemas.Told, error) {
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("startsWith(alert_id, {alerts:String})", "alerts", findingID+"/")
	w.and("channel = {channel:String}", "channel", channel)
	w.conditions = append(w.conditions, "kind IN ('page', 'end', '')")
	rows, err := collect(ctx, s.db.conn, "read what a channel was told of a finding", w.query(selectTold, ""),
		func(scan scanner) (told schemas.Told, err error) {
			var paged, summarised uint8
			var levels []string
			err = scan(&paged, &summarised, &levels, &told.Ended)
			told.Paged, told.Summarised = paged == 1, summarised == 1
			for _, l := range levels {
				told.Levels = append(told.Levels, schemas.Level(l))
			}
			return told, err
		})
	if err != nil || len(rows) == 0 {
		return schemas.Told{}, err
	}
	return rows[0], nil
}

// Delivered reports whether a channel has taken an alert, or refused it.
func (s *FindingStore) Delivered(ctx context.Context, channel, tenant, alertID string) (bool, error) {
	w := where{}
	w.and("tenant = {tenant:String}", "tenant", tenant)
	w.and("alert_id = {alert:String}", "alert", alertID)
	w.and("channel = {channel:String}", "channel", channel)
	w.conditions = append(w.conditions, itIsOver)
	n, err := s.count(ctx, "look whether an alert was delivered", w.query("SELECT count() FROM deliveries\n", ""))
	return n > 0, err
}

// itIsOver keeps attempts behind which there is no other.
const itIsOver = "(ok = 1 OR startsWith(error, '" + schemas.DeliveryRefused + "'))"

// summariesWithin is how far back a summary is looked for that nobody has taken.
const summariesWithin = 30 * 24 * time.Hour

// Summaries are those of windows that were over at a time, the first first, and
// that the channel has neither taken nor refused.
func (s *FindingStore) Summaries(ctx context.Context, channel string, at time.Time) ([]schemas.Summary, error) {
	w := where{}
	w.and("channel = {channel:String}", "channel", channel)
	w.and("time >= "+milliseconds("from"), "from", at.Add(-summariesWithin).UnixMilli())
	w.and("time < "+milliseconds("to"), "to", at.UTC().Truncate(schemas.SummaryWindow).UnixMilli())
	w.conditions = append(w.conditions, "summary != ''",
		"summary NOT IN (SELECT alert_id FROM deliveries WHERE channel = {channel:String} AND kind = 'summary' AND time >= "+milliseconds("from")+" AND "+itIsOver+")")
	rows, err := collect(ctx, s.db.conn, "look for summaries that are due", w.query(
		"SELECT summary, min(time), rule_id, level, uniqExactIf(splitByChar('/', alert_id)[1], kind = 'page'), uniqExactIf(alert_id, kind = 'end')\nFROM deliveries\n",
		"GROUP BY summary, rule_id, level\nORDER BY min(time), summary, rule_id, level"), scanSummaryPart)
	return joinSummaries(rows), err
}

// summaryPart is what a summary tells of one rule and level.
type summaryPart struct {
	id, rule, level string
	first           time.Time
	findings, ended uint64
}

func scanSummaryPart(scan scanner) (p summaryPart, err error) {
	err = scan(&p.id, &p.first, &p.rule, &p.level, &p.findings, &p.ended)
	return p, err
}

func joinSummaries(parts []summaryPart) []schemas.Summary {
	byID := map[string]*schemas.Summary{}
	var order []string
	for _, p := range parts {
		s := byID[p.id]
		if s == nil {
			from := p.first.UTC().Truncate(schemas.SummaryWindow)
			s = &schemas.Summary{ID: p.id, From: from, To: from.Add(schemas.SummaryWindow)}
			byID[p.id], order = s, append(order, p.id)
		}
		s.Findings += p.findings
		s.Ended += p.ended
		if p.findings > 0 {
			s.Rules, s.Levels = addTally(s.Rules, p.rule, p.findings), addTally(s.Levels, p.level, p.findings)
		}
	}
	summaries := make([]schemas.Summary, 0, len(order))
	for _, id := range order {
		s := byID[id]
		slices.SortFunc(s.Rules, func(a, b schemas.Tally) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value))
		})
		slices.SortFunc(s.Levels, func(a, b schemas.Tally) int {
			if a.Value == b.Value {
				return 0
			}
			return map[bool]int{true: -1, false: 1}[schemas.Level(a.Value).AtLeast(schemas.Level(b.Value))]
		})
		summaries = append(summaries, *s)
	}
	return summaries
}

func addTally(to []schemas.Tally, value string, n uint64) []schemas.Tally {
	for i := range to {
		if to[i].Value == value {
			to[i].Count += n
			return to
		}
	}
	return append(to, schemas.Tally{Value: value, Count: n})
}
