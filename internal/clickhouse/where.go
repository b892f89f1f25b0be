package clickhouse

import (
	"strings"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// where collects the conditions of a query and the values of its parameters.
// Conditions are text of this package; what a caller gave is always a value.
type where struct {
	conditions []string
	params     map[string]any
}

// and adds a condition and the parameter that it names.
func (w *where) and(condition, name string, value any) {
	w.conditions = append(w.conditions, condition)
	w.param(name, value)
}

// equal narrows a column of strings to a value, unless it is empty.
func (w *where) equal(column, value string) {
	if value != "" {
		w.and(column+" = {"+column+":String}", column, value)
	}
}

// since narrows a column of times to those not before an edge, if there is one.
func (w *where) since(column string, edge time.Time) {
	if !edge.IsZero() {
		w.and(column+" >= "+milliseconds("edge"), "edge", ceilMilli(edge))
	}
}

func (w *where) param(name string, value any) { w.paramsOf()[name] = value }

// paramsOf are the parameters, to add to.
func (w *where) paramsOf() map[string]any {
	if w.params == nil {
		w.params = make(map[string]any)
	}
	return w.params
}

// clause is the WHERE clause with its line end, or nothing.
func (w *where) clause() string { return w.after("WHERE") }

// prewhere is clause for conditions on the key of events alone. Rows are
// dropped by it before FINAL sees them, and of those that are dropped no other
// column is read. Copies share their key, so that all or none of them stay.
func (w *where) prewhere() string { return w.after("PREWHERE") }

func (w *where) after(keyword string) string {
	if len(w.conditions) == 0 {
		return ""
	}
	return keyword + " " + strings.Join(w.conditions, "\n  AND ") + "\n"
}

// query puts the clause between the two halves of a statement.
func (w *where) query(head, tail string) schemas.Query {
	return schemas.Query{SQL: head + w.clause() + tail, Params: w.params}
}

// milliseconds is the expression for a parameter of Unix milliseconds as
// DateTime64(3). Text forms of a time are read by guesses at their length.
func milliseconds(param string) string {
	return "fromUnixTimestamp64Milli({" + param + ":Int64}, 'UTC')"
}

// ceilMilli is the first millisecond at or after t, as Unix milliseconds: the
// store keeps whole ones, so a bound between two of them means the later.
func ceilMilli(t time.Time) int64 {
	return clampTime(t).Add(time.Millisecond - time.Nanosecond).UnixMilli()
}

// clampTime moves a bound into the range of the columns, where it bounds the
// same rows.
func clampTime(t time.Time) time.Time {
	if t.Before(minTime) {
		return minTime
	}
	if t.After(maxTime) {
		return maxTime
	}
	return t
}

// later is the later of two bounds, of which the zero time is none.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

const maxListing = 1000

// listingLimit is the number of rows that a listing asks for.
func listingLimit(limit int) int {
	if limit < 1 || limit > maxListing {
		return maxListing
	}
	return limit
}
