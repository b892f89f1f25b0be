package processor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// explain makes findings of rows, with what a person needs to judge them.
func (c *Correlator) explain(ctx context.Context, j *job, rows []schemas.CorrelationRow, ver uint64) ([]schemas.Finding, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	keys, first, last := extent(rows)
	answers := make([][]schemas.CorrelationRow, len(j.rule.Evidence))
	var details map[string]detail
	reading, ctxOfReading := errgroup.WithContext(ctx) // each waits more than it works
	reading.SetLimit(2)                                // several looks go on at once, and connections are few
	for i, e := range j.rule.Evidence {
		reading.Go(func() (err error) {
			if answers[i], err = c.cfg.Store.Correlate(ctxOfReading, j.rule.EvidenceQuery(i, j.tenant, keys, first.Add(-e.Lookback), last)); err != nil {
				return fmt.Errorf("read the evidence: %w", err)
			}
			return nil
		})
	}
	reading.Go(func() (err error) {
		details, err = c.details(ctxOfReading, j, rows, keys, first, last)
		return err
	})
	if err := reading.Wait(); err != nil {
		return nil, err
	}
	related := map[string][]detect.Found{}
	for i, answer := range answers {
		for _, f := range j.rule.Found(i, answer) {
			related[f.Key] = append(related[f.Key], f)
		}
	}
	findings := make([]schemas.Finding, len(rows))
	for i, row := range rows {
		f, beside := newFinding(j, row, ver), within(j.rule, row, related[row.Key])
		f.Level = j.rule.LevelOf(row, beside)
		f.Evidence = evidenceOf(j.rule, row, beside, details)
		if f.Source == schemas.SourceStream && repaired(row.LogIDs, details) {
			f.Source = schemas.SourceRepair
		}
		f.Evidence.NextCommand = "m2mwatch findings show " + f.ID
		findings[i] = f
	}
	return findings, nil
}

// extent is the keys of rows and the time from the first to behind the last of
// their events.
func extent(rows []schemas.CorrelationRow) (keys []string, first, last time.Time) {
	lo, hi := rows[0].First, rows[0].Last
	for _, r := range rows {
		keys = append(keys, r.Key)
		lo, hi = min(lo, r.First), max(hi, r.Last)
	}
	slices.Sort(keys)
	return slices.Compact(keys), milli(lo), milli(hi + 1)
}

func milli(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() }

// detail is what one event of a finding says.
type detail struct{ description, clientName, source string }

func (c *Correlator) details(ctx context.Context, j *job, rows []schemas.CorrelationRow, keys []string, first, last time.Time) (map[string]detail, error) {
	var ids []string
	for _, r := range rows {
		ids = append(ids, r.LogIDs...)
	}
	answer, err := c.cfg.Store.Correlate(ctx, j.rule.DetailsQuery(j.tenant, keys, ids, first, last))
	if err != nil {
		return nil, fmt.Errorf("read the events of findings: %w", err)
	}
	details := make(map[string]detail, len(answer))
	for _, r := range answer {
		if len(r.LogIDs) == 1 && len(r.Values) == 3 {
			details[r.LogIDs[0]] = detail{r.Values[0], r.Values[1], r.Values[2]}
		}
	}
	return details, nil
}

func newFinding(j *job, row schemas.CorrelationRow, ver uint64) schemas.Finding {
	period := milli(row.Period)
	f := schemas.Finding{
		ID:       schemas.FindingID(j.rule.Code, j.tenant, row.Key, period),
		RuleID:   j.rule.Code,
		Title:    j.rule.Title,
		Tenant:   j.tenant,
		Key:      row.Key,
		Identity: j.rule.IdentityID(row.Key),
		State:    schemas.StateOpen,
		First:    milli(row.First),
		Last:     milli(row.Last),
		Count:    row.Count,
		Period:   period,
		Source:   schemas.SourceStream,
		Ver:      ver,
	}
	if row.Imported == 1 {
		f.Source = schemas.SourceImport
	}
	return f
}

// repaired reports whether the events of a finding, as far as they are looked at,
// were missed: none came as it happened, and a gap had to be closed for one.
func repaired(logIDs []string, details map[string]detail) bool {
	late := false
	for _, id := range logIDs {
		switch details[id].source {
		case schemas.SourceRepair.String():
			late = true
		case schemas.SourceImport.String():
		default:
			return false
		}
	}
	return late
}

// within keeps the evidence of one finding: no older than its look-back, and
// not behind the finding's last event.
func within(rule *detect.Correlation, row schemas.CorrelationRow, found []detect.Found) []detect.Found {
	var of []detect.Found
	for _, f := range found {
		lookback := uint64(rule.Evidence[f.Evidence].Lookback.Milliseconds())
		if f.Time+lookback >= row.First && f.Time <= row.Last {
			of = append(of, f)
		}
	}
	return of
}

// maxRelated is how many events beside a finding are shown, the latest.
const maxRelated = 10

func evidenceOf(rule *detect.Correlation, row schemas.CorrelationRow, found []detect.Found, details map[string]detail) schemas.Evidence {
	e := schemas.Evidence{
		Summary:      rule.Summary(row, found),
		Networks:     row.Values,
		NormalPerDay: detect.NormalPerDay(row),
		LogIDs:       row.LogIDs,
		Facts:        row.Facts,
		Causes:       map[string]uint64{},
	}
	if row.LastSuccess > 0 {
		at := milli(row.LastSuccess)
		e.LastSuccess = &at
	}
	for _, f := range found[:min(len(found), maxRelated)] {
		r := rule.Evidence[f.Evidence].Rule
		e.Related = append(e.Related, schemas.RelatedEvidence{Rule: r.Name, Title: r.Title, LogID: f.LogID, Time: milli(f.Time)})
	}
	for _, id := range row.LogIDs {
		d, ok := details[id]
		if !ok {
			continue
		}
		e.Causes[cause(d.description)]++
		if d.clientName != "" {
			e.ClientName = d.clientName
		}
	}
	return e
}

// cause is a description as a key of JSON.
func cause(description string) string {
	if description == "" {
		return "no description"
	}
	return strings.ToValidUTF8(description, "\ufffd")
}
