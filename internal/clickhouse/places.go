package clickhouse

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// places are where the events of a filter can be: tables, each with the column
// and the value that narrow it. Together they name every event that the filter
// lets through, and others: what is found there is checked in events.
type places []place

type place struct {
	table  string
	column string   // "" where nothing narrows it
	values []string // any of these
}

// placesOf is nil where the key of events serves the filter.
func placesOf(f schemas.EventFilter) places {
	clientID, isApp := strings.CutPrefix(f.Identity, schemas.AppID(""))
	switch {
	case f.ClientID != "" || anyOf(f.Where, "client_id") != nil:
		return nil
	case isApp: // its client's, and those in which it is not the client
		return places{{"events", "client_id", []string{clientID}}, {"events_by_identity", "identity", []string{f.Identity}}}
	case f.Identity != "":
		return places{{"events_by_identity", "identity", []string{f.Identity}}}
	case f.UserID != "":
		return places{{"events_by_identity", "identity", []string{schemas.UserID(f.UserID)}}}
	case f.Type != "":
		return places{{"events_by_time", "type", []string{f.Type}}}
	case anyOf(f.Where, "type") != nil:
		return places{{"events_by_time", "type", anyOf(f.Where, "type")}}
	}
	return places{{"events_by_time", "", nil}}
}

// anyOf are the values of which a field has one, nil where conditions say
// nothing of that kind.
func anyOf(conditions []schemas.Condition, field string) []string {
	for _, c := range conditions {
		if c.Field != field || c.Not {
			continue
		}
		var values []string
		for _, p := range c.Values {
			value, exact := p.Exact()
			if !exact {
				return nil
			}
			values = append(values, value)
		}
		return values
	}
	return nil
}

// batchStart is the time from which on there are about so many candidates
// before to: from where there are fewer, to where there are none.
func (r *Reader) batchStart(ctx context.Context, p places, f schemas.EventFilter, from, to int64, count int) (int64, error) {
	type batch struct {
		count uint64
		start int64
	}
	found, err := collect(ctx, r.conn, "look for events", batchQuery(p, f, from, to, count), func(scan scanner) (b batch, err error) {
		err = scan(&b.count, &b.start)
		return b, err
	})
	switch {
	case err != nil || len(found) == 0 || found[0].count == 0:
		return to, err
	case found[0].count < uint64(count):
		return from, nil
	}
	return found[0].start, nil
}

func batchQuery(p places, f schemas.EventFilter, from, to int64, count int) schemas.Query {
	w := within(from, to)
	const newest = "ORDER BY time DESC\nLIMIT {count:UInt32}\n"
	times := p.union(&w, f, "time", newest)
	w.param("count", count)
	return schemas.Query{
		SQL:    "SELECT count(), toUnixTimestamp64Milli(min(time))\nFROM (\nSELECT time FROM (\n" + times + ")\n" + newest + ")",
		Params: w.params,
	}
}

// union selects columns of what the places hold under the conditions of w, whose
// parameters it completes.
func (p places) union(w *where, f schemas.EventFilter, columns, tail string) string {
	var selects []string
	for i, place := range p {
		one := where{conditions: slices.Clone(w.conditions), params: w.params}
		one.equal("tenant", f.Tenant)
		if name := "place_" + strconv.Itoa(i); place.column != "" {
			one.and(place.column+" IN {"+name+":Array(String)}", name, place.values)
		}
		selects = append(selects, "SELECT "+columns+" FROM "+place.table+"\n"+one.clause()+tail)
	}
	return strings.Join(selects, "UNION ALL\n")
}
