package doctor

import (
	"testing"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }
