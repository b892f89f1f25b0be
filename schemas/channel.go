package schemas

import "time"

// ChannelDeliveries is what became of the alerts for one channel lately.
type ChannelDeliveries struct {
	Name      string
	Delivered uint64 // alerts that it has taken
	Refused   uint64 // alerts that were given up
	// Summarised are alerts that it was told of in summaries alone.
	Summarised uint64
	LastOK     time.Time // zero where it has taken none
	Last       time.Time // attempt
	LastOutcome
	// FailingSince is the first failure after LastOK; zero where there is none.
	FailingSince time.Time
}

// LastOutcome is how the last attempt ended.
type LastOutcome struct {
	OK    bool
	Error string // as of Delivery
}

// ChannelView is a channel of alerts, and how it does.
type ChannelView struct {
	Name         string     `json:"name" example:"oncall"`
	Type         string     `json:"type,omitempty" doc:"Not there where the process that answers has no such channel in its configuration." example:"pagerduty"`
	Health       string     `json:"health" enum:"ok,failing,refusing,untried" doc:"How the last attempt ended: refusing means that the alert was given up. Untried where there was none in the last 30 days."`
	Waiting      *uint64    `json:"waiting" doc:"Alerts that wait for it; null where the process that answers has no broker."`
	Delivered    uint64     `json:"delivered" doc:"Alerts that it took in the last 30 days."`
	Refused      uint64     `json:"refused" doc:"Alerts that were given up in the last 30 days, since it does not want them."`
	Summarised   uint64     `json:"summarised" doc:"Alerts of the last 30 days that it was told of in summaries alone, since it had had its share of pages or its queue was full."`
	LastDelivery *time.Time `json:"last_delivery,omitempty" doc:"When it took one last."`
	LastAttempt  *time.Time `json:"last_attempt,omitempty"`
	FailingSince *time.Time `json:"failing_since,omitempty" doc:"The first attempt in vain since it took one."`
	Error        string     `json:"error,omitempty" doc:"Why the last attempt was in vain."`
}

// The healths of a channel.
const (
	ChannelOK       = "ok"
	ChannelFailing  = "failing"
	ChannelRefusing = "refusing"
	ChannelUntried  = "untried"
)
