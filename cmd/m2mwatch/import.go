package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// importChunk is how much is sent in one request: small enough that progress
// shows and a repeat after an error costs little.
const importChunk = 4 << 20

func newImport(inv *invocation) *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Bring in a tenant's history: JSON lines, gzip or not",
		Long: `import sends log events, one JSON object a line, to the running instance. They travel the
same way as those of a log stream, and are stored once whatever is repeated, so an import that
was interrupted is simply run again. What is found in them alerts nobody. FILE may be -.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("%w: import takes one FILE, or - for standard input", errUsage)
			}
			if err := schemas.CheckTenant(tenant); err != nil {
				return fmt.Errorf("%w: --tenant: %w", errUsage, err)
			}
			return importFile(cmd.Context(), inv, tenant, args[0])
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "the tenant that the events belong to")
	return cmd
}

func importFile(ctx context.Context, inv *invocation, tenant, path string) error {
	client, err := inv.client()
	if err != nil {
		return err
	}
	in, total := inv.stdin, int64(0)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("open history: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			total = info.Size()
		}
		in = f
	}
	counted := &countingReader{r: in}
	lines, err := gunzip(counted)
	if err != nil {
		return err
	}
	bar := newProgress(inv.stderr, "import")
	accepted, err := importLines(ctx, client, tenant, lines, func(a schemas.Accepted) {
		bar.show(counted.n, total, fmt.Sprintf("%d events", a.Accepted))
	})
	bar.done()
	if err != nil {
		return err
	}
	fmt.Fprintf(inv.stdout, "%d events accepted, %d of them unreadable\n", accepted.Accepted, accepted.Dead)
	return nil
}

// gunzip looks at the first bytes to tell whether r is compressed.
func gunzip(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	if head, err := b.Peek(2); err != nil || head[0] != 0x1f || head[1] != 0x8b {
		return b, nil // an empty input has no events, which is no error
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("read gzip: %w", err)
	}
	return z, nil
}

// importLines sends whole lines, a chunk a request, and tells each of them.
func importLines(ctx context.Context, client *apiclient.Client, tenant string, r io.Reader, each func(total schemas.Accepted)) (schemas.Accepted, error) {
	var total schemas.Accepted
	lines := bufio.NewReaderSize(r, 1<<20)
	for {
		chunk, err := nextChunk(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return total, fmt.Errorf("read history after %d events: %w", total.Accepted, err)
		}
		if len(chunk) > 0 {
			a, err := sendChunk(ctx, client, tenant, chunk)
			if err != nil {
				return total, fmt.Errorf("import after %d events (run it again, nothing is stored twice): %w", total.Accepted, err)
			}
			total.Accepted += a.Accepted
			total.Dead += a.Dead
			each(total)
		}
		if err != nil {
			return total, nil
		}
	}
}

// nextChunk reads about importChunk bytes, to the end of a line.
func nextChunk(r *bufio.Reader) ([]byte, error) {
	chunk := make([]byte, 0, importChunk+64<<10)
	for len(chunk) < importChunk {
		part, err := r.ReadSlice('\n')
		chunk = append(chunk, part...)
		for errors.Is(err, bufio.ErrBufferFull) {
			part, err = r.ReadSlice('\n')
			chunk = append(chunk, part...)
		}
		if err != nil {
			return chunk, err
		}
	}
	return chunk, nil
}

// sendChunk waits out an overload: history is patient.
func sendChunk(ctx context.Context, client *apiclient.Client, tenant string, chunk []byte) (schemas.Accepted, error) {
	for {
		a, err := client.Import(ctx, tenant, bytes.NewReader(chunk))
		wait, overloaded := retryAfter(err)
		if !overloaded {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// retryAfter says how long an overloaded server asks to be left alone.
func retryAfter(err error) (time.Duration, bool) {
	var problem *apiclient.Error
	if !errors.As(err, &problem) || problem.Status != http.StatusServiceUnavailable {
		return 0, false
	}
	return max(problem.RetryAfter, time.Second), true
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
