package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// RulesConfig says what the looks of rules are measured on.
type RulesConfig struct {
	Dir    string   // a filled data directory
	Keys   int      // that are touched together
	Memory int64    // of the engine, in bytes
	Rules  []string // by code; none is all
}

// look is what one question of a rule took.
type look struct {
	took       time.Duration
	answered   int
	rows, size uint64 // that were read
	err        error
}

// Rules asks each rule about keys that did something in the last hour of a filled
// directory, as the correlator does when they are touched, and prints what that
// took: for candidates, for what is remembered, and for what is found.
func Rules(ctx context.Context, c RulesConfig, out io.Writer) error {
	p, err := readProgress(c.Dir)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, c.Dir, c.Memory)
	if err != nil {
		return err
	}
	defer s.close()
	rules, err := detect.Parse(processor.Rules())
	if err != nil {
		return fmt.Errorf("load rules: %w", err)
	}
	l := &looking{config: c, store: s, hour: p.To.Add(-time.Hour)}
	fmt.Fprintln(out, "| rule | keys | candidates | of them asked | remembered | found |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|")
	correlations := rules.Correlations()
	for i := range correlations {
		if rule := &correlations[i]; len(c.Rules) == 0 || slices.Contains(c.Rules, rule.Code) {
			if err := l.rule(ctx, rule, out); err != nil {
				return fmt.Errorf("rule %s: %w", rule.Code, err)
			}
		}
	}
	return nil
}

type looking struct {
	config RulesConfig
	store  *store
	hour   time.Time // the last
}

func (l *looking) rule(ctx context.Context, rule *detect.Correlation, out io.Writer) error {
	var selectors []string
	for _, r := range rule.Rules() {
		if rule.Keyed(r.Selector) {
			selectors = append(selectors, r.Selector)
		}
	}
	keys, err := clickhouse.NewScratch(l.store.db).KeysOf(ctx, "matches", selectors, Tenant, l.hour, l.hour.Add(time.Hour), 1)
	if err != nil {
		return err
	}
	keys = keys[:min(len(keys), l.config.Keys)]
	if len(keys) == 0 {
		return nil
	}
	from, to := rule.Period(l.hour), rule.PeriodEnd(l.hour.Add(time.Hour+rule.Reach()))
	candidates, asked := l.ask(ctx, rule.CandidatesQuery(Tenant, keys, from, to))
	remembered := look{}
	if recall, ok := rule.Recall(); ok {
		_, remembered = l.ask(ctx, recall.Query(rule, Tenant, candidates, time.Time{}, from))
	}
	found := look{}
	if asked.err == nil && len(candidates) > 0 {
		_, found = l.ask(ctx, rule.Query(Tenant, candidates, from, to))
	}
	_, err = fmt.Fprintf(out, "| %s | %d | %s | %d | %s | %s |\n", rule.Code, len(keys), asked, len(candidates), remembered, found)
	return err
}

func (l look) String() string {
	switch {
	case l.err != nil:
		return l.err.Error()
	case l.took == 0:
		return ""
	}
	return fmt.Sprintf("%s, %d rows and %d MiB read, %d answered", l.took.Round(time.Millisecond), l.rows, l.size>>20, l.answered)
}

// ask runs a question and returns its keys.
func (l *looking) ask(ctx context.Context, q schemas.Query) ([]string, look) {
	var k look
	ctx = ch.Context(ctx, ch.WithProgress(func(p *ch.Progress) { k.rows += p.Rows; k.size += p.Bytes }))
	began := time.Now()
	rows, err := clickhouse.NewFindingStore(l.store.db).Correlate(ctx, q)
	k.took, k.answered, k.err = time.Since(began), len(rows), err
	keys := make([]string, len(rows))
	for i, r := range rows {
		keys[i] = r.Key
	}
	return keys, k
}
