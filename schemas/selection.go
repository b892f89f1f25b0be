package schemas

// Selection is what a selector selects, as a condition over the columns of the
// table events. What it answers is what matching each event would.
type Selection struct {
	Selector string
	// Where holds for every event that is selected. Where it is not Exact it may
	// hold for others, too: those have to be matched.
	Where  string
	Exact  bool
	Params map[string]any // of Where, Key and Value
	// Key and Value are the expressions of a match's key and value; events whose
	// key is empty or too long make no match. They are empty where not Exact.
	Key, Value string
	// Columns are those that matching reads, beside those of the event's key, its
	// ver and its source; Raw says that it reads the raw log.
	Columns []string
	Raw     bool
}
