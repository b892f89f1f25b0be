package doctor

import (
	"context"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// readyAdvice is what to do where a check of /readyz fails.
var readyAdvice = map[string]string{
	"nats":               "see the check of nats",
	"nats_writing":       "see the check of disk room: the embedded NATS is started again once there is room; its log names a stream that could not be recovered",
	"nats_syncing":       "this should not be: report it, with the version",
	"clickhouse":         "see the check of clickhouse; the embedded one is started again by itself: the log says why it ended",
	"clickhouse_reading": "see the check of clickhouse",
}

// lag is for how long what was accepted may wait for the rules.
const lag = 5 * 60 // seconds

// instance asks the one that runs in the data directory how it is.
func (d *Doctor) instance(ctx context.Context) Result {
	var r Result
	if !d.running {
		r.skip("", "none answers in %s", d.cfg.Settings.Data)
		return r
	}
	ready, err := d.client.Ready(ctx)
	if err != nil {
		r.fail("look at its log; restart it", "it runs and does not tell whether it is ready: %v", err)
		return r
	}
	for _, c := range ready.Checks {
		if !c.OK {
			r.fail(readyAdvice[c.Name], "not ready: %s: %s", c.Name, c.Error)
		}
	}
	status, err := d.client.Status(ctx)
	if err != nil {
		r.fail("look at its log", "it runs and does not tell its status: %v", err)
		return r
	}
	if status.CorrelateLag > lag {
		r.warn("give it time after an import; else look at the log of the process that correlates", "rules are %.0f s behind", status.CorrelateLag)
	}
	if status.Dead != nil && *status.Dead > 0 {
		r.warn("look at them with `m2mwatch dead list`", "%d records could not be read and lie in DEAD", *status.Dead)
	}
	channels(&r, status.Channels)
	if len(r.Notes) == 0 {
		r.ok("m2mwatch %s runs in %s and is ready", status.Versions.M2MWatch, d.cfg.Settings.Data)
	}
	return r
}

// channels tells of those that alerts do not get through to.
func channels(r *Result, all []schemas.ChannelView) {
	configured := false
	for _, c := range all {
		configured = configured || c.Type != ""
	}
	for _, c := range all {
		waiting := uint64(0)
		if c.Waiting != nil {
			waiting = *c.Waiting
		}
		switch {
		case configured && c.Type == "" && waiting > 0:
			r.warn("configure the channel again to have them delivered", "%d alerts wait for channel %s, which is no longer configured", waiting, c.Name)
		case c.Health == schemas.ChannelFailing:
			r.fail("see that it answers; `m2mwatch notify test "+c.Name+"` tries it", "channel %s does not take alerts, and %d wait: %s", c.Name, waiting, c.Error)
		case c.Health == schemas.ChannelRefusing:
			r.fail("correct its configuration; `m2mwatch notify test "+c.Name+"` tries it", "channel %s has refused the last alert, which is given up: %s", c.Name, c.Error)
		}
	}
}
