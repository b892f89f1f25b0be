package query

import (
	"maps"
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// channels joins what is configured, what waits and what was delivered: also a
// channel that is configured no more has to be seen while alerts wait for it.
func channels(types map[string]string, waiting map[string]uint64, broker bool, delivered []schemas.ChannelDeliveries) []schemas.ChannelView {
	views := map[string]*schemas.ChannelView{}
	view := func(name string) *schemas.ChannelView {
		if views[name] == nil {
			views[name] = &schemas.ChannelView{Name: name, Type: types[name], Health: schemas.ChannelUntried}
			if broker {
				n := waiting[name]
				views[name].Waiting = &n
			}
		}
		return views[name]
	}
	for name := range types {
		view(name)
	}
	for name, n := range waiting {
		if n > 0 {
			view(name)
		}
	}
	for _, d := range delivered {
		if len(types) > 0 && types[d.Name] == "" && waiting[d.Name] == 0 {
			continue // it was taken out of the configuration
		}
		v := view(d.Name)
		v.Delivered, v.Refused, v.Summarised, v.LastDelivery, v.LastAttempt = d.Delivered, d.Refused, d.Summarised, known(d.LastOK), known(d.Last)
		if d.Last.IsZero() { // nothing was tried
			continue
		}
		v.Health = schemas.ChannelOK
		if d.OK {
			continue
		}
		v.FailingSince = known(d.FailingSince)
		var refused bool
		v.Error, refused = strings.CutPrefix(d.Error, schemas.DeliveryRefused)
		v.Health = map[bool]string{true: schemas.ChannelRefusing, false: schemas.ChannelFailing}[refused]
	}
	var list []schemas.ChannelView
	for _, name := range slices.Sorted(maps.Keys(views)) {
		list = append(list, *views[name])
	}
	return list
}
