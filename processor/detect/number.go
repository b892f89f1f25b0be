package detect

import "strconv"

// number is a value that YAML reads as a number: 200 is 2e2 and 200.0, too.
type number struct {
	value float64
	text  string // as most logs write it
}

func newNumber(f float64) number { return number{f, strconv.FormatFloat(f, 'f', -1, 64)} }

func (t number) holds(v string) bool {
	if v == t.text {
		return true
	}
	f, ok := parseNumber(v)
	return ok && f == t.value
}

func (t number) canonical() string { return "number " + strconv.FormatFloat(t.value, 'g', -1, 64) }

// order is gt, gte, lt or lte. What is no number is neither.
type order struct {
	word  string
	value float64
}

func (t order) holds(v string) bool {
	f, ok := parseNumber(v)
	if !ok {
		return false
	}
	switch t.word {
	case "gt":
		return f > t.value
	case "gte":
		return f >= t.value
	case "lt":
		return f < t.value
	}
	return f <= t.value
}

func (t order) canonical() string { return t.word + " " + strconv.FormatFloat(t.value, 'g', -1, 64) }

// parseNumber reads a decimal number. It looks first, since the parser makes
// an error of each text that is none, and most are.
func parseNumber(v string) (float64, bool) {
	if v == "" || len(v) > 64 {
		return 0, false
	}
	digits := false
	for i := range len(v) {
		switch c := v[i]; {
		case '0' <= c && c <= '9':
			digits = true
		case c == '.' || c == '-' || c == '+' || (c == 'e' || c == 'E') && i > 0:
		default:
			return 0, false
		}
	}
	if !digits {
		return 0, false
	}
	f, err := strconv.ParseFloat(v, 64)
	return f, err == nil
}
