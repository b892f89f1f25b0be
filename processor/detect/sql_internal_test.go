package detect

import (
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/schemas/clickhouse"
)

func TestEveryFieldIsAColumnOfTheStore(t *testing.T) {
	var fields []field
	for name, of := range columns {
		fields = append(fields, field{name: name, column: of})
	}
	for name, of := range numberColumns {
		fields = append(fields, field{name: name, number: of})
	}
	for name, of := range listColumns {
		fields = append(fields, field{name: name, list: of})
	}
	fields = append(fields, entityKey, wholeTenant)
	for i := range fields {
		w := &sqlWriter{}
		w.reads(&fields[i])
		for _, column := range append(w.columns, "tenant") {
			if !strings.Contains(clickhouse.Tables, "\nevents\tcolumn "+column+"\t") {
				t.Errorf("field %s: events has no column %s", fields[i].name, column)
			}
		}
	}
}
