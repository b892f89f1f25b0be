package clickhouse_test

import (
	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/query"
)

var (
	_ processor.Store          = (*clickhouse.Writer)(nil)
	_ processor.FindingStore   = (*clickhouse.FindingStore)(nil)
	_ processor.CountStore     = (*clickhouse.CountStore)(nil)
	_ processor.ReprocessStore = (*clickhouse.ReprocessStore)(nil)
	_ processor.InventoryStore = (*clickhouse.InventoryStore)(nil)
	_ query.Store              = (*clickhouse.Reader)(nil)
)
