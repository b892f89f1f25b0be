package clickhouse

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// encodeParams writes the values of {name:Type} placeholders as the server
// reads them. Strings keep every byte. Times are for DateTime64 and DateTime
// placeholders of zone UTC.
func encodeParams(params map[string]any) (ch.Parameters, error) {
	encoded := make(ch.Parameters, len(params))
	for name, value := range params {
		text, err := encodeParam(value)
		if err != nil {
			return nil, fmt.Errorf("parameter %s: %w", name, err)
		}
		encoded[name] = text
	}
	return encoded, nil
}

// textEscaper is for a value that stands alone, quotedEscaper for one between
// single quotes. The server reads the first as a field of a tab-separated file
// and the second as a literal.
var (
	textEscaper   = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`)
	quotedEscaper = strings.NewReplacer("\\", `\\`, "'", `\'`)
)

func encodeParam(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return textEscaper.Replace(v), nil
	case []string:
		return encodeArray(v, func(s string) string { return "'" + quotedEscaper.Replace(s) + "'" }), nil
	case []uint64:
		return encodeArray(v, func(n uint64) string { return strconv.FormatUint(n, 10) }), nil
	case []int64:
		return encodeArray(v, func(n int64) string { return strconv.FormatInt(n, 10) }), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case bool:
		return strconv.FormatBool(v), nil
	case time.Time:
		return encodeTime(v), nil
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("no encoding for %T", value)
}

func encodeArray[V any](values []V, encode func(V) string) string {
	encoded := make([]string, len(values))
	for i, v := range values {
		encoded[i] = encode(v)
	}
	return "[" + strings.Join(encoded, ",") + "]"
}

// encodeTime leaves out a fraction of zero, which DateTime refuses.
func encodeTime(t time.Time) string {
	return t.UTC().Format("2006-01-02 15:04:05.999")
}
