package schemas

import "time"

// BacktestState is how far a backtest is.
type BacktestState string

// The states of a backtest.
const (
	BacktestPending BacktestState = "pending" // no processor has begun it
	BacktestRunning BacktestState = "running"
	BacktestDone    BacktestState = "done"
	BacktestFailed  BacktestState = "failed" // Error says why

	BacktestCanceled BacktestState = "canceled" // somebody asked for it
)

// BacktestRule says which rule is run: one that is loaded, or one of a file that
// is sent along.
type BacktestRule struct {
	Rule string `json:"rule,omitempty" maxLength:"256" doc:"Code, id or name of the rule. Without it the one rule of the file that finds something." example:"MI-02"`
	File string `json:"file,omitempty" maxLength:"4096" doc:"What the file is called in errors. Without text the rule is one of those that are loaded."`
	Text string `json:"text,omitempty" maxLength:"1000000" doc:"The rule file, YAML, with all documents that the rule needs."`
	// A text, so that a rule can be compared.
	Except string `json:"except,omitempty" maxLength:"10000" doc:"An exception on trial, beside those of the rule: field=value,value in each line, all of which must hold." example:"identity=app:ci-*"`
}

// BacktestRequest asks for a Backtest.
type BacktestRequest struct {
	_ struct{} `json:"-" additionalProperties:"false"` // a misspelt bound must not widen the range in silence

	BacktestRule
	Against *BacktestRule `json:"against,omitempty" doc:"Another version of the rule, to tell the difference."`
	Tenant  string        `json:"tenant,omitempty" pattern:"^[a-z0-9-]{1,63}$" patternDescription:"1 to 63 of a-z, 0-9 and -" doc:"Of this tenant alone." example:"acme"`
	From    string        `json:"from,omitempty" maxLength:"64" doc:"The first moment: RFC 3339, a date, or how long ago (90m, 24h, 7d, 2w). Without it 30 days ago." example:"30d"`
	To      string        `json:"to,omitempty" maxLength:"64" doc:"The moment after the last, in the forms of from. Without it now."`
}

// Backtest is a job: run a rule over stored events, without a trace in what is
// found or alerted.
type Backtest struct {
	ID        string          `json:"id"`
	Rule      BacktestRule    `json:"rule"`
	Against   *BacktestRule   `json:"against,omitempty"`
	Tenant    string          `json:"tenant" doc:"Empty for all."`
	From      time.Time       `json:"from" doc:"The first moment. The first dedupe period that meets the range is whole."`
	To        time.Time       `json:"to" doc:"The moment after the last. The last dedupe period that meets the range is whole, as far as there are events."`
	State     BacktestState   `json:"state" enum:"pending,running,done,failed,canceled" doc:"pending until a processor begins it."`
	Total     uint64          `json:"total" doc:"Events to look through. An estimate: copies that are not merged yet count."`
	Done      uint64          `json:"done" doc:"Events that were looked through."`
	Error     string          `json:"error" doc:"Why it failed."`
	Result    *BacktestResult `json:"result" doc:"What the rule finds; null until it is done."`
	Other     *BacktestResult `json:"other,omitempty" doc:"What the rule of against finds."`
	Diff      *BacktestDiff   `json:"diff,omitempty" doc:"The difference between both."`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`

	Ver uint64 `json:"-"` // as of a finding
}

// Over reports whether nothing will happen to the job any more.
func (b *Backtest) Over() bool {
	return b.State == BacktestDone || b.State == BacktestFailed || b.State == BacktestCanceled
}

// MaxBacktestIdentities is how many identities a result tells.
const MaxBacktestIdentities = 20

// BacktestResult is what a rule finds in a range of history.
type BacktestResult struct {
	RuleID     string             `json:"rule_id" doc:"What its findings would carry as rule_id." example:"MI-02"`
	Title      string             `json:"title"`
	Level      Level              `json:"level"`
	Findings   uint64             `json:"findings"`
	Events     uint64             `json:"events" doc:"That the findings count, together."`
	LeftOut    uint64             `json:"left_out" doc:"Keys that were not judged, because their matches are more than one query may read."`
	Days       []BacktestDay      `json:"days" doc:"Findings by the day of their last event, the first day first; a day without any is left out."`
	Identities []BacktestIdentity `json:"identities" doc:"Those with the most findings, 20 at most."`
	Samples    []BacktestFinding  `json:"samples" doc:"Findings, 20 at most, spread over all."`
}

// BacktestDay is how many findings a day has.
type BacktestDay struct {
	Day      string `json:"day" example:"2026-03-01"`
	Findings uint64 `json:"findings"`
}

// BacktestIdentity is how many findings an identity has.
type BacktestIdentity struct {
	Tenant   string `json:"tenant"`
	Identity string `json:"identity" doc:"Empty where the key stands for none."`
	Key      string `json:"key"`
	Findings uint64 `json:"findings"`
	Events   uint64 `json:"events"`
}

// BacktestFinding is one finding, as far as it is shown.
type BacktestFinding struct {
	Tenant   string    `json:"tenant"`
	Key      string    `json:"key"`
	Identity string    `json:"identity"`
	Period   time.Time `json:"period" doc:"When its dedupe period begins."`
	Level    Level     `json:"level"`
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Count    uint64    `json:"count"`
	Summary  string    `json:"summary"`
	LogIDs   []string  `json:"log_ids" doc:"The first of its events, 5 at most."`
}

// BacktestDiff is the difference between what a rule and another version of it
// find: findings of the same key and moment are the same.
type BacktestDiff struct {
	Same    uint64            `json:"same" doc:"Findings of both, that count as much."`
	Changed uint64            `json:"changed" doc:"Findings of both, of other events or level."`
	Added   uint64            `json:"added" doc:"Findings that the rule of against lacks."`
	Gone    uint64            `json:"gone" doc:"Findings that the rule of against alone has."`
	AddedBy []BacktestFinding `json:"added_findings" doc:"The first of added, 20 at most."`
	GoneBy  []BacktestFinding `json:"gone_findings" doc:"The first of gone, 20 at most."`
}

// HistoryDay is a UTC day of a tenant that has events, and how many, copies
// included.
type HistoryDay struct {
	Tenant string
	Day    time.Time
	Events uint64
}
