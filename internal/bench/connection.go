package bench

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
)

// rawConn is a connection without the product: for what the product does not
// ask, and for what it is compared with.
type rawConn = driver.Conn

func rawConnection(c clickhouse.Config) (rawConn, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("read the engine's URL") // the cause has the password
	}
	password, _ := u.User.Password()
	return ch.Open(&ch.Options{
		Addr:        []string{u.Host},
		Auth:        ch.Auth{Database: clickhouse.DefaultDatabase, Username: u.User.Username(), Password: password},
		Compression: &ch.Compression{Method: ch.CompressionLZ4},
	})
}

// collect runs a query and reads its rows.
func collect[R any](ctx context.Context, c rawConn, sql string, read func(scan func(...any) error) (R, error)) ([]R, error) {
	rows, err := c.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []R
	for rows.Next() {
		row, err := read(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func scalar[R any](ctx context.Context, c rawConn, sql string) (value R, err error) {
	return value, c.QueryRow(ctx, sql).Scan(&value)
}

// newFlushID is a UUID of version 7, as touches have one.
func newFlushID() string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli())<<16)
	_, _ = rand.Read(id[6:]) // it never returns an error
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
