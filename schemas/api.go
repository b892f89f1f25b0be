package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The types of this file are what the API answers: query writes them, and the
// commands read them. Times are UTC with milliseconds.

// ProblemType is the media type of a Problem.
const ProblemType = "application/problem+json"

// Problem is the body of every answer that is not 2xx (RFC 9457).
type Problem struct {
	Type   string `json:"type" example:"about:blank"`
	Title  string `json:"title" doc:"The status in words." example:"Unprocessable Entity"`
	Status int    `json:"status" example:"422"`
	Code   string `json:"code" doc:"What is wrong, for programs: snake_case, and stable." example:"parameter_invalid"`
	Detail string `json:"detail" doc:"What is wrong and what to do, for people." example:"limit: expected number <= 1000"`
}

// EventView is an event as the API shows it.
type EventView struct {
	LogID            string    `json:"log_id" example:"90020250314120000000000000000000000001223372036854775807"`
	Tenant           string    `json:"tenant" example:"acme"`
	Time             time.Time `json:"time" doc:"The log's own time." example:"2025-03-14T12:00:00.000Z"`
	Type             string    `json:"type" doc:"Auth0's event type code." example:"seccft"`
	ClientID         string    `json:"client_id" example:"invoice-sync"`
	ClientName       string    `json:"client_name" doc:"As logged; anyone who edits the application chooses it."`
	IP               string    `json:"ip" doc:"As logged; it may be no address, and follow a header that the caller wrote." example:"192.0.2.10"`
	ClientIP         string    `json:"client_ip" doc:"As logged: the address of the connection. A part of the logs has it." example:"192.0.2.10"`
	Network          string    `json:"network" doc:"The /24 or /48 of client_ip, else of ip; empty where that is no address." example:"192.0.2.0/24"`
	Country          string    `json:"country" doc:"ISO 3166-1 alpha-2: where the log tells it, else an .mmdb file; empty where neither does." example:"NL"`
	ASN              uint32    `json:"asn" doc:"The autonomous system of client_ip, else of ip, as an .mmdb file tells it; 0 where none does." example:"64500"`
	ASOrg            string    `json:"as_org" doc:"The organization whose autonomous system it is."`
	UserAgent        string    `json:"user_agent"`
	UserAgentClass   string    `json:"user_agent_class" doc:"What kind of program user_agent names; empty where the log has none." enum:"sdk,infrastructure,curl,postman,library,browser,other,unknown,"`
	JA3              string    `json:"ja3"`
	JA4              string    `json:"ja4"`
	SDKName          string    `json:"sdk_name" example:"auth0-node"`
	SDKVersion       string    `json:"sdk_version"`
	Audience         string    `json:"audience" doc:"Several are joined by a space."`
	Scopes           []string  `json:"scopes"`
	GrantType        string    `json:"grant_type"`
	Outcome          Outcome   `json:"outcome" enum:"success,failure,info,limit,unknown"`
	Description      string    `json:"description"`
	Cause            Cause     `json:"cause" doc:"Why it failed, as far as the log tells the causes apart; empty where it did not." enum:"wrong_credentials,client_assertion,client_quota,organization_quota,unknown_audience,grant_type_not_allowed,missing_grant,scope_not_granted,wrong_user_credentials,rate_limit,other,"`
	UserID           string    `json:"user_id"`
	UserName         string    `json:"user_name" doc:"As logged: masked or hashed where the log stream is told to."`
	Connection       string    `json:"connection"`
	ConnectionID     string    `json:"connection_id"`
	Strategy         string    `json:"strategy"`
	StrategyType     string    `json:"strategy_type"`
	OrganizationID   string    `json:"organization_id"`
	OrganizationName string    `json:"organization_name"`
	Hostname         string    `json:"hostname"`
	TokenID          string    `json:"token_id" doc:"The jti of the access token that was issued."`
	UsedTokenID      string    `json:"used_token_id" doc:"The jti of the access token that was used: by a call of the Management API, or as a custom event token.used tells."`
	SessionID        string    `json:"session_id"`
	MTLSThumbprint   string    `json:"mtls_thumbprint" doc:"SHA-256 of the client's certificate."`
	AgentID          string    `json:"agent_id"`
	ExternalAgentID  string    `json:"external_agent_id"`
	ActorSubject     string    `json:"actor_subject" doc:"Who acted on behalf of the subject."`
	CorrelationID    string    `json:"correlation_id"`
	TraceID          string    `json:"trace_id"`
	Method           string    `json:"method" doc:"Of a Management API call."`
	Path             string    `json:"path" doc:"Of a Management API call."`
	Status           uint16    `json:"status" doc:"HTTP status that a Management API call was answered with; 0 where the log has none."`
	Channel          string    `json:"channel" doc:"Of a Management API call: api, or the dashboard's URL." example:"api"`
	Target           string    `json:"target" doc:"The identity that a Management API call acted upon, or made." example:"app:invoice-sync"`
	Quota            QuotaView `json:"quota" doc:"Of an event about a quota or a rate limit."`
	Selectors        []string  `json:"selectors" doc:"The rules' selectors that select the event."`
	Source           string    `json:"source" enum:"stream,pull,import,repair,custom" doc:"By which way the log came in."`
	IngestedAt       time.Time `json:"ingested_at" doc:"When it arrived." example:"2025-03-14T12:00:01.250Z"`
	StoredAt         time.Time `json:"stored_at" doc:"When it was stored." example:"2025-03-14T12:00:01.900Z"`
	Identity         Identity  `json:"identity"`
	RawMasked        bool      `json:"raw_masked" doc:"The values of secrets in the raw record are replaced by ***."`
}

// QuotaView is what an event says of a quota or a rate limit; see Quota.
type QuotaView struct {
	Bucket     string  `json:"bucket" example:"per_day"`
	EntityType string  `json:"entity_type" example:"client"`
	EntityID   string  `json:"entity_id"`
	Size       uint64  `json:"size"`
	Used       uint64  `json:"used"`
	Percent    float32 `json:"percent"`
}

// EventDetail is an event with its raw record: the record itself where it is
// JSON, byte for byte, else a string that holds it.
type EventDetail struct {
	EventView
	Raw json.RawMessage `json:"raw,omitempty" doc:"The record as it came, byte for byte; a string where it is no JSON."`
}

// EventPage is one page of events, newest first.
type EventPage struct {
	Events []EventView `json:"events"`
	Next   string      `json:"next,omitempty" doc:"The cursor of the next page; absent at the end."`
}

// TokenView is an access token: who got it, and what it was used for.
type TokenView struct {
	ID               string       `json:"id" doc:"The token's jti."`
	Tenant           string       `json:"tenant" example:"acme"`
	Issue            *EventView   `json:"issue" doc:"The event that issued it; null where that is not stored."`
	Expires          *time.Time   `json:"expires" doc:"Until when it may be used; null where its issue is not stored."`
	ExpiresEstimated bool         `json:"expires_estimated" doc:"expires is the time of issue and the default lifetime of 24 hours: no log tells the API's own."`
	UseCount         uint64       `json:"use_count" doc:"How many events used it. Calls of the Management API name the token that they used; of calls to other APIs only custom events of the type token.used tell."`
	Uses             []EventView  `json:"uses" doc:"The first 1000 events that used it, by time."`
	Places           []TokenPlace `json:"places" doc:"Its uses by network, scope and API, exact whatever was repeated: the 1000 with most uses, these first."`
}

// FindingDetail is a finding with the changes of its state and what people did.
type FindingDetail struct {
	Finding
	History []FindingChange `json:"history" doc:"The changes of its state, the first first."`
	Acts    []FindingAct    `json:"acts" doc:"What people did about it, the first first."`
}

// FindingPage is one page of findings, the last active first.
type FindingPage struct {
	Findings []Finding `json:"findings"`
	Next     string    `json:"next,omitempty" doc:"The cursor of the next page; absent at the end."`
}

// StatsPage holds counts of distinct log_ids, the highest first.
type StatsPage struct {
	Rows       []StatsEntry `json:"rows"`
	Truncated  bool         `json:"truncated" doc:"There are more rows than limit let through: narrow the question, or raise it."`
	DirtyHours int          `json:"dirty_hours" doc:"Hours of the range that are not recounted yet and were counted from events: as exact, and slower while they are many."`
}

// StatsEntry is one count. In JSON it is an object with the beginning of the
// interval where there is one, a member per dimension, in the order of By, and
// then count.
type StatsEntry struct {
	Time   time.Time // zero without an interval
	By     []string
	Values []string
	Count  uint64
}

// MarshalJSON writes {"type":"seccft","count":123}, or
// {"time":"2025-03-14T00:00:00.000Z","type":"seccft","count":123}.
func (s StatsEntry) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	if !s.Time.IsZero() {
		b = fmt.Appendf(b, `"time":"%s",`, s.Time.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	for i, name := range s.By {
		for j, text := range []string{name, s.Values[i]} {
			quoted, err := json.Marshal(text)
			if err != nil {
				return nil, err
			}
			b = append(append(b, quoted...), ":,"[j])
		}
	}
	return fmt.Appendf(b, `"count":%d}`, s.Count), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *StatsEntry) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.New("row of counts: want an object")
	}
	*s = StatsEntry{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return fmt.Errorf("row of counts: %w", err)
		}
		switch name {
		case "count":
			err = dec.Decode(&s.Count)
		case "time":
			err = dec.Decode(&s.Time)
		default:
			var value string
			err = dec.Decode(&value)
			s.By, s.Values = append(s.By, name.(string)), append(s.Values, value)
		}
		if err != nil {
			return fmt.Errorf("row of counts: %v: %w", name, err)
		}
	}
	return nil
}

// StatusView is how far the pipeline is. Pending and the two after it are null
// where the process that answers has no broker.
type StatusView struct {
	Pending          *uint64       `json:"pending" doc:"Records accepted and not yet stored. Zero is exact."`
	PendingEstimated bool          `json:"pending_estimated" doc:"pending is an estimate."`
	Dead             *uint64       `json:"dead" doc:"Records that could not be read, waiting for somebody to look."`
	Alerts           *uint64       `json:"alerts" doc:"Alerts not yet delivered."`
	Uncorrelated     uint64        `json:"uncorrelated" doc:"Touches that the correlator has not read. Where pending and uncorrelated are zero in one answer, every accepted record is stored and correlated."`
	DirtyHours       uint64        `json:"dirty_hours" doc:"Hours, by tenant, that are not recounted yet: counts of them are read from events, as exact and slower. The hour that is being written is one of them."`
	CorrelateLag     float64       `json:"correlate_lag_seconds" doc:"For how long the oldest touch has waited for the correlator; 0 where none waits."`
	RecountLag       float64       `json:"recount_lag_seconds" doc:"For how long the oldest touch has waited for the recount; 0 where none waits. It waits for an hour to go quiet."`
	Events           uint64        `json:"events" doc:"Stored events, an estimate."`
	Bytes            uint64        `json:"bytes" doc:"Size of the store on disk."`
	BytesPerDay      uint64        `json:"bytes_per_day" doc:"What a day of events takes on disk, by the last seven whole days that have any; 0 where there is none."`
	DiskFree         *uint64       `json:"disk_free" doc:"Bytes, of the disk that the store is on; null where that is not known, as on a cluster."`
	DaysToFull       *float64      `json:"days_to_full" doc:"When the disk will be full as things go; null where retention drops old days before, or where it cannot be told."`
	LastEvent        *time.Time    `json:"last_event" doc:"Time of the newest event."`
	LastStored       *time.Time    `json:"last_stored" doc:"When something was stored last."`
	DelaySeconds     *float64      `json:"delay_seconds" doc:"From the arrival of a record to its being stored, lately."`
	Warm             uint64        `json:"warm" doc:"Applications that are warm, as of this day and some minutes ago: they had 20 successes and a week of history."`
	Exchanging       uint64        `json:"exchanging" doc:"Applications that got a token by themselves in the last 90 days, as of this day and some minutes ago."`
	Warming          []WarmingView `json:"warming,omitempty" doc:"Rules for which history is matched, by code: what they find pages nobody before that is done."`
	Pulls            []PullView    `json:"pulls,omitempty" doc:"How far tenants are followed through their Management APIs; those that are."`
	Channels         []ChannelView `json:"channels,omitempty" doc:"Where alerts go, and how that does."`
	Versions         Versions      `json:"versions"`
}

// WarmingView is how far history is matched for a rule.
type WarmingView struct {
	Rule       string `json:"rule"`
	Selections int    `json:"selections" doc:"How many of what the rule and those that it names select are to be matched yet. It is done for one after the other."`
	Done       uint64 `json:"done" doc:"Events of history that are tried so far, for those of them that are begun."`
	Total      uint64 `json:"total" doc:"Of about so many; 0 where none is begun."`
}

// PullView is how far a tenant is followed through its Management API.
type PullView struct {
	Tenant   string         `json:"tenant"`
	Domain   string         `json:"domain"`
	CaughtUp *time.Time     `json:"caught_up,omitempty" doc:"When its live logs had been read to the end last; it moves by the minute while none come. Not there where a log stream delivers them."`
	Imported *time.Time     `json:"imported,omitempty" doc:"When the history was there that Auth0 still had when the tenant was added."`
	Spans    []PullSpanView `json:"spans,omitempty" doc:"What is still to be brought in."`
	Missing  []PullMissing  `json:"missing,omitempty" doc:"Stretches of time of which Auth0 had no logs left when they were to be read, if there were any."`
	Reason   string         `json:"reason,omitempty" enum:"credentials,scope,throttled,unreachable,not_stored" doc:"Why nothing can be read now."`
	Error    string         `json:"error,omitempty"`
	Since    *time.Time     `json:"since,omitempty" doc:"Since when it cannot."`
}

// PullSpanView is a stretch of logs that is still to be brought in.
type PullSpanView struct {
	Source string     `json:"source" enum:"import,repair"`
	From   *time.Time `json:"from,omitempty" doc:"How far it has been; not there where it begins at the oldest."`
	To     *time.Time `json:"to,omitempty"`
}

// Versions are the versions of this program and of its servers, empty where
// one is not known.
type Versions struct {
	M2MWatch   string `json:"m2mwatch"`
	NATS       string `json:"nats"`
	ClickHouse string `json:"clickhouse"`
}

// TablesView is how the store's tables are against what this build makes.
type TablesView struct {
	Pending  []string `json:"pending" doc:"Migrations that the store has not had yet."`
	Missing  []string `json:"missing" doc:"Tables, columns and indexes that are not there: inserts or reads fail. Empty while migrations are pending, as is differs."`
	Differs  []string `json:"differs" doc:"Those that are otherwise than migrations make them, or that nothing here makes."`
	Unsynced []string `json:"unsynced" doc:"Tables, with the setting they lack, whose inserts or merges are not synced to disk."`
}

// Accepted is the answer to logs that were sent, when all of them are on disk.
type Accepted struct {
	Accepted int `json:"accepted" doc:"Records that are on disk now, the dead ones among them."`
	Dead     int `json:"dead" doc:"Records that cannot be read; list-dead shows them."`
}

// EventTypePage holds all event types, by code.
type EventTypePage struct {
	EventTypes []EventTypeView `json:"event_types"`
}

// EventTypeView is an EventType as the API shows it.
type EventTypeView struct {
	Code     string       `json:"code" example:"seccft"`
	Title    string       `json:"title" example:"Success Exchange (Client Credentials)"`
	Category string       `json:"category" doc:"Of a log stream's filter; empty where none is documented." example:"auth.token_exchange.success"`
	Outcome  Outcome      `json:"outcome" enum:"success,failure,info,limit"`
	Machine  MachineClass `json:"machine" doc:"Which part machines play in it; empty where none." example:"m2m"`
}
