package ingest

import "bytes"

const (
	// secretMask stands in the place of every secret.
	secretMask = `"***"`
	// rulesConfigs is in the path of the calls that set a rule's configuration:
	// the one secret whose key is just "value".
	rulesConfigs = "rules-configs"
	// maxTextKey bounds the search for a key in what is not JSON.
	maxTextKey = 128
)

// masker replaces the values of secrets. It keeps its buffers: one is for one
// request, and what it returns is valid until the next call.
type masker struct {
	out   []byte
	done  int // out holds what becomes of so many bytes of raw; 0: nothing masked yet
	stack []maskFrame
	key   keyFold
}

// maskMode says which values directly inside an array or object are secrets.
type maskMode uint8

const (
	maskByKey   maskMode = iota // those under a secret's key
	maskScalars                 // an array under a secret's key: its strings and numbers
	maskList                    // an array of {"name","value"}
	maskEntry                   // one of these: all but what names the secret
	maskAll                     // an object from names to secrets
)

type maskFrame struct {
	object  bool
	mode    maskMode
	options bool // its key is options
}

// member is what a key says of its value.
type member struct {
	set     bool // the key has been read, the value has not
	secret  bool // a string or number is a secret
	object  maskMode
	array   maskMode
	options bool
}

// mask returns raw with the values of secrets replaced, and whether there were
// any. valid says that raw is one JSON value; what is not is masked as text, as
// well as that goes.
func (m *masker) mask(raw []byte, valid bool) ([]byte, bool) {
	m.done = 0
	switch {
	case !valid:
		m.maskText(raw)
	case m.worthLook(raw):
		m.maskValue(raw)
	}
	if m.done == 0 {
		return raw, false
	}
	m.out = append(m.out, raw[m.done:]...)
	return m.out, true
}

// shrink gives a large buffer back: nothing reserves memory for it, so it lives
// no longer than its record. What mask returned must not be in use any more.
func (m *masker) shrink() {
	if cap(m.out) > windowBase {
		m.out = nil
	}
}

// replace masks raw[from:to] unless it holds no secret: null, true, false, an
// empty string, or only the asterisks that Auth0 left of one.
func (m *masker) replace(raw []byte, from, to int) {
	value := raw[from:to]
	switch string(value) {
	case "null", "true", "false":
		return
	}
	if len(bytes.Trim(value, `"*`)) == 0 {
		return
	}
	if m.done == 0 {
		m.out = m.out[:0]
	}
	m.out = append(append(m.out, raw[m.done:from]...), secretMask...)
	m.done = to
}

// worthLook reports whether raw has a key that may belong to a secret. Most
// records have none, and cost this one pass over their strings.
func (m *masker) worthLook(raw []byte) bool {
	for i := 0; ; {
		quote := bytes.IndexByte(raw[i:], '"')
		if quote < 0 {
			break
		}
		start := i + quote + 1
		end := stringEnd(raw, start)
		i = min(end+1, len(raw))
		if !mayBeSecret(raw[start:end]) || !isKey(raw[i:]) {
			continue
		}
		folded := m.key.fold(raw[start:end])
		if isSecretKey(folded) || secretMap(folded, true) != maskByKey {
			return true
		}
	}
	return bytes.Contains(raw, []byte(rulesConfigs))
}

// isKey reports whether what follows a string makes it a key.
func isKey(rest []byte) bool {
	n := leadingSpace(rest)
	return n < len(rest) && rest[n] == ':'
}

// stringEnd returns the index of the quote that ends the string whose content
// begins at start, or len(raw).
func stringEnd(raw []byte, start int) int {
	for i := start; ; {
		quote := bytes.IndexByte(raw[i:], '"')
		if quote < 0 {
			return len(raw)
		}
		i += quote
		escapes := 0
		for i-1-escapes >= start && raw[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
		i++
	}
}

// maskValue masks a valid JSON value.
func (m *masker) maskValue(raw []byte) {
	m.stack = append(m.stack[:0], maskFrame{})
	ruleConfig := bytes.Contains(raw, []byte(rulesConfigs))
	var next member
	for i := 0; i < len(raw); {
		top := m.stack[len(m.stack)-1]
		end := i + 1
		switch c := raw[i]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
		case '{', '[':
			m.push(c == '{', next, top)
			next = member{}
		case '}', ']':
			m.stack = m.stack[:len(m.stack)-1]
		default:
			if end = scalarEnd(raw, i); top.object && !next.set {
				next = m.member(raw[i+1:end-1], top, ruleConfig)
				break
			}
			if next.secret || top.mode == maskScalars || top.mode == maskList {
				m.replace(raw, i, end)
			}
			next = member{}
		}
		i = end
	}
}

func (m *masker) push(object bool, next member, top maskFrame) {
	f := maskFrame{object: object, mode: next.array}
	if object {
		f.mode, f.options = next.object, next.options
	}
	switch {
	case top.mode == maskList && object:
		f.mode = maskEntry
	case !object && (top.mode == maskList || top.mode == maskScalars):
		f.mode = top.mode
	}
	m.stack = append(m.stack, f)
}

// member says what the key, as it stands between its quotes, means in an
// object.
func (m *masker) member(key []byte, in maskFrame, ruleConfig bool) member {
	folded := m.key.fold(key)
	next := member{set: true, secret: isSecretKey(folded), options: is(folded, "options")}
	if next.secret {
		next.array = maskScalars
	}
	mode := secretMap(folded, in.options)
	switch {
	case ruleConfig && is(folded, "body"):
		mode = maskEntry
	case mode != maskByKey:
	case in.mode == maskAll, in.mode == maskEntry && !isSecretName(folded):
		mode, next.secret = in.mode, true
	}
	if mode != maskByKey {
		next.object, next.array = mode, maskList
	}
	return next
}

// scalarEnd returns the index behind the string, number or literal at i.
func scalarEnd(raw []byte, i int) int {
	if raw[i] == '"' {
		return min(stringEnd(raw, i+1)+1, len(raw))
	}
	if n := bytes.IndexAny(raw[i:], " \t\r\n,:]}[{\""); n >= 0 {
		return i + n
	}
	return len(raw)
}

// maskText masks what is not JSON: wherever a quote begins a key of a secret
// with a colon and a value behind it. Which quotes open a string and which
// close one is not known, so each is tried. Behind a key like secrets every
// "value" is one as well.
func (m *masker) maskText(raw []byte) {
	listed := bytes.Contains(raw, []byte(rulesConfigs))
	for i := 0; ; {
		quote := bytes.IndexByte(raw[i:], '"')
		if quote < 0 {
			return
		}
		i += quote + 1
		key, value := textKey(raw, i)
		if value == 0 {
			continue
		}
		folded := m.key.fold(key)
		listed = listed || secretMap(folded, true) != maskByKey
		if isSecretKey(folded) || listed && is(folded, "value") {
			i = m.maskTextValue(raw, value)
		}
	}
}

// maskTextValue masks the scalar at from and returns where to go on.
func (m *masker) maskTextValue(raw []byte, from int) int {
	if from >= len(raw) || raw[from] == '{' || raw[from] == '[' {
		return from
	}
	end := scalarEnd(raw, from)
	m.replace(raw, from, end)
	return end
}

// textKey returns the key whose content begins at start, and where its value
// begins; 0 where there is no key.
func textKey(raw []byte, start int) (key []byte, value int) {
	window := raw[:min(len(raw), start+maxTextKey)]
	end := stringEnd(window, start)
	if end == len(window) || !isKey(raw[end+1:]) {
		return nil, 0
	}
	value = end + 1 + leadingSpace(raw[end+1:]) + 1
	return raw[start:end], value + leadingSpace(raw[value:])
}
