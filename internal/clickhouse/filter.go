package clickhouse

import (
	"strconv"
	"strings"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// filterColumns are the columns behind schemas.StatsDimensions, which are what
// events are narrowed by and counted by. What a caller names never becomes text
// of a query: it picks one of these.
var filterColumns = map[string]string{
	"tenant":           "tenant",
	"type":             "type",
	"client_id":        "client_id",
	"identity":         "identity",
	"identity_kind":    "identity_kind",
	"outcome":          "outcome",
	"cause":            "cause",
	"audience":         "audience",
	"network":          "network",
	"organization_id":  "organization_id",
	"user_id":          "user_id",
	"user_agent_class": "user_agent_class",
	"country":          "country",
	"asn":              asnText,
	"source":           "toString(source)",
}

// events narrows to what f lets through, but for its range and place.
func (w *where) events(f schemas.EventFilter) {
	w.equal("tenant", f.Tenant)
	w.equal("client_id", f.ClientID)
	w.equal("identity", f.Identity)
	w.equal("user_id", f.UserID)
	w.equal("type", f.Type)
	w.filter(f.Where)
	w.text(f.Text)
}

// filter narrows by conditions.
func (w *where) filter(conditions []schemas.Condition) {
	for i, c := range conditions {
		w.condition(i, c)
	}
}

// condition narrows by the i-th condition. One with a field that is not among
// filterColumns lets nothing through: schemas.ParseCondition makes none.
func (w *where) condition(i int, c schemas.Condition) {
	column := filterColumns[c.Field]
	if column == "" {
		w.conditions = append(w.conditions, "0")
		return
	}
	w.conditionOn(column, "filter_"+strconv.Itoa(i), c)
}

// conditionOn narrows a column by a condition, with parameters of that name.
func (w *where) conditionOn(column, name string, c schemas.Condition) {
	var (
		exact  []string
		either []string
	)
	for j, p := range c.Values {
		if value, ok := p.Exact(); ok {
			exact = append(exact, value)
			continue
		}
		like := name + "_" + strconv.Itoa(j)
		either = append(either, column+" LIKE {"+like+":String}")
		w.param(like, likePattern(p))
	}
	if len(exact) > 0 {
		either = append(either, column+" IN {"+name+":Array(String)}")
		w.param(name, exact)
	}
	condition := "(" + strings.Join(either, " OR ") + ")"
	if c.Not {
		condition = "NOT " + condition
	}
	w.conditions = append(w.conditions, condition)
}

var quoteLike = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

func likePattern(p schemas.Pattern) string {
	parts := make([]string, len(p))
	for i, part := range p {
		parts[i] = quoteLike.Replace(part)
	}
	return strings.Join(parts, "%")
}

// textColumns are what a search for a text looks into.
var textColumns = []string{
	"log_id", "type", "description", "client_id", "client_name", "user_id", "user_name", "identity", "connection",
	"ip", "client_ip", "user_agent", "hostname", "audience", "organization_id", "organization_name",
	"method", "path", "target", "correlation_id", "trace_id", "token_id", "used_token_id",
}

// text narrows to events that have a text in one of textColumns.
func (w *where) text(text string) {
	if text == "" {
		return
	}
	either := make([]string, len(textColumns))
	for i, column := range textColumns {
		either[i] = "positionCaseInsensitiveUTF8(" + column + ", {text:String}) > 0"
	}
	w.and("("+strings.Join(either, " OR ")+")", "text", text)
}
