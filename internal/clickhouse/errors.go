package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// Codes of the server's exceptions that are read here.
const (
	codeNoSuchPart       = 232
	codeMemory           = 241
	codeViolated         = 469
	codeMissingParameter = 456
	codeBadParameter     = 457
)

// refusingCodes are the server's exceptions that blame a value, so that the
// same rows will be refused for ever. The list says what is poison and not
// what is harmless: a code that is missing here makes rows wait, one too many
// would throw away what a later attempt could store. Left out although they
// sound alike: 53 TYPE_MISMATCH, 9, 33 and 40 (the table is another than the
// program's, or a connection broke), 49 LOGICAL_ERROR (a fault of the server),
// 252 (parts not merged yet).
var refusingCodes = map[int32]string{
	6:            "CANNOT_PARSE_TEXT",
	25:           "CANNOT_PARSE_ESCAPE_SEQUENCE",
	26:           "CANNOT_PARSE_QUOTED_STRING",
	27:           "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
	38:           "CANNOT_PARSE_DATE",
	41:           "CANNOT_PARSE_DATETIME",
	69:           "ARGUMENT_OUT_OF_BOUND",
	70:           "CANNOT_CONVERT_TYPE",
	72:           "CANNOT_PARSE_NUMBER",
	117:          "INCORRECT_DATA",
	128:          "TOO_LARGE_ARRAY_SIZE",
	131:          "TOO_LARGE_STRING_SIZE",
	321:          "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
	349:          "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN",
	376:          "CANNOT_PARSE_UUID",
	407:          "DECIMAL_OVERFLOW",
	codeViolated: "VIOLATED_CONSTRAINT",
	691:          "UNKNOWN_ELEMENT_OF_ENUM",
}

// errNoMemory is wrapped where an insert met a limit of memory: that of one
// query, or that of the server, which others may have used up.
var errNoMemory = errors.New("the server lacks the memory for it")

// insertError is queryError, and wraps schemas.ErrRefused where the server
// blames the rows, and errNoMemory where their number may be to blame.
func insertError(ctx context.Context, attempt string, err error) error {
	e, ok := errors.AsType[*ch.Exception](err)
	switch {
	case ok && refusingCodes[e.Code] != "":
		return fmt.Errorf("%s: %w: %s", attempt, schemas.ErrRefused, exceptionText(e))
	case ok && e.Code == codeMemory:
		return fmt.Errorf("%s: %w: %s", attempt, errNoMemory, exceptionText(e))
	}
	return queryError(ctx, attempt, err)
}

// queryError says what was attempted and what came of it. It wraps the
// context's error where the context ended the attempt, schemas.ErrQueryTooLarge and
// schemas.ErrMemoryShort, and nothing else: the
// driver's errors quote values, so only a clipped text of them goes on.
func queryError(ctx context.Context, attempt string, err error) error {
	if cause := contextError(ctx, err); cause != nil {
		return fmt.Errorf("%s: %w", attempt, cause)
	}
	if e, ok := errors.AsType[*ch.Exception](err); ok {
		if tooLarge(e) {
			return fmt.Errorf("%s: %w: %s", attempt, schemas.ErrQueryTooLarge, exceptionText(e))
		}
		if e.Code == codeMemory {
			return fmt.Errorf("%s: %w: %s", attempt, schemas.ErrMemoryShort, exceptionText(e))
		}
		return fmt.Errorf("%s: %s", attempt, exceptionText(e))
	}
	return fmt.Errorf("%s: %s", attempt, clip(err.Error(), maxErrorText))
}

// contextError is the context's error, or what it is about to be: the driver
// sets the context's deadline on the socket, which may expire a moment earlier.
func contextError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	_, bounded := ctx.Deadline()
	if errors.Is(err, context.DeadlineExceeded) || bounded && errors.Is(err, os.ErrDeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return nil
}

// tooLarge tells a query over its own limit from one that met a server whose
// memory others have taken: the code is the same.
func tooLarge(e *ch.Exception) bool {
	return e.Code == codeMemory && strings.Contains(e.Message, "Query memory limit exceeded")
}

// isException tells whether the server answered with this code.
func isException(err error, code int32) bool {
	e, ok := errors.AsType[*ch.Exception](err)
	return ok && e.Code == code
}

const (
	maxErrorText   = 200 // of the server's or the network's words
	maxErrorQuoted = 32  // of a value that they quote
)

// exceptionText is what the server said, without the values that it repeats.
func exceptionText(e *ch.Exception) string {
	text := e.Message
	switch e.Code {
	case codeMissingParameter, codeBadParameter:
		_, at, _ := strings.Cut(text, "for query parameter ")
		return fmt.Sprintf("code %d: a value does not fit its parameter %s", e.Code, clip(at, maxErrorQuoted))
	case codeViolated:
		text, _, _ = strings.Cut(text, ". Expression:")
	}
	return fmt.Sprintf("code %d: %s", e.Code, clip(hideQuoted(text), maxErrorText))
}

// hideQuoted replaces what stands between single quotes and is longer than a
// name of ours.
func hideQuoted(text string) string {
	pieces := strings.Split(text, "'")
	for i := 1; i < len(pieces); i += 2 {
		if len(pieces[i]) > maxErrorQuoted {
			pieces[i] = "…"
		}
	}
	return strings.Join(pieces, "'")
}

// clip shortens s to about n bytes, at a boundary of characters, on one line.
func clip(s string, n int) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
