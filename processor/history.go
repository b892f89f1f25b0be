package processor

import (
	"context"
	"time"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// historyMatcher matches stored events of which the store cannot tell alone
// whether they are selected.
type historyMatcher struct {
	by       *detect.Set
	each     func(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time, each func(*schemas.Event) error) error
	insert   func(context.Context, []schemas.Match) error
	imported bool // the matches page nobody
}

// historyRows is how many matches one insert has.
const historyRows = 10_000

func (h *historyMatcher) match(ctx context.Context, sel schemas.Selection, tenant string, from, to time.Time) error {
	matches := make([]schemas.Match, 0, historyRows)
	flush := func() error {
		for i := range matches {
			if h.imported {
				matches[i].Source = schemas.SourceImport
			}
		}
		err := h.insert(ctx, matches)
		matches = matches[:0]
		return err
	}
	err := h.each(ctx, sel, tenant, from, to, func(e *schemas.Event) error {
		if matches = h.by.Match(matches, e); len(matches) >= historyRows {
			return flush()
		}
		return nil
	})
	if err != nil || len(matches) == 0 {
		return err
	}
	return flush()
}
