package processor_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/processor"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// newDeclaredBench has rules that learn, and those of what is declared.
func newDeclaredBench(t *testing.T) *bench {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{"base.yml", "mi-08-new-network.yml", "mi-18-heartbeat-lost.yml", "mi-11-declared.yml", "mi-18-declared.yml"} {
		text, err := fs.ReadFile(processor.Rules(), name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	rules, err := detect.Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.rules = rules
	b.now = func() time.Time { return moment.Add(24 * time.Hour) }
	return b
}

// declare has it that an identity is expected to be so from a time on.
func (b *bench) declare(identity string, at time.Time, e schemas.Expect) {
	b.t.Helper()
	list := []schemas.Expectation{{Tenant: "acme", Identity: identity, Expect: e, DeclaredAt: at}}
	if err := clickhouse.NewExpectations(b.db).Declare(b.t.Context(), list); err != nil {
		b.t.Fatal(err)
	}
}

// open are the codes of the rules of which findings are open, with how people are told.
func (b *bench) open() []string {
	codes := map[string]bool{}
	for _, f := range b.findings("acme") {
		if f.State == schemas.StateOpen {
			codes[fmt.Sprint(f.RuleID, " ", f.Paging)] = true
		}
	}
	return slices.Sorted(maps.Keys(codes))
}

func TestWhatIsFoundFollowsWhatIsDeclared(t *testing.T) {
	t.Parallel()
	b := newDeclaredBench(t)
	const home, away = "198.51.100.0/24", "203.0.113.0/24"
	b.insert(beats("billing", moment)...)
	elsewhere := exchange("billing", 9000, moment.Add(time.Minute), true, schemas.SourceStream)
	elsewhere.Network = away
	b.insert(elsewhere, other(moment.Add(8*time.Hour)))
	from := moment.Add(2 * time.Hour)
	for _, step := range []struct {
		what   string
		change func()
		want   []string
	}{
		{"nothing is declared", func() {}, []string{"MI-08 digest", "MI-18 page"}},
		{"both networks are", func() { b.declare("app:billing", from, schemas.Expect{Networks: []string{home, away}}) }, []string{"MI-18 page"}},
		{"its cadence is, too", func() {
			b.declare("app:billing", from.Add(time.Second), schemas.Expect{Networks: []string{home, away}, Cadence: "1d"})
		}, nil},
		{"one network is, after the fact", func() {
			b.declare("app:billing", from.Add(2*time.Second), schemas.Expect{Networks: []string{home}})
		}, []string{"MI-11-declared imported", "MI-18 page"}},
		{"it is used from elsewhere again", func() {
			again := elsewhere
			again.Time, again.LogID = moment.Add(7*time.Hour), "900again"
			b.insert(again)
		}, []string{"MI-11-declared page", "MI-18 page"}},
		{"a cadence is missed", func() {
			b.declare("app:billing", from.Add(3*time.Second), schemas.Expect{Networks: []string{home}, Cadence: "10m"})
		}, []string{"MI-11-declared page", "MI-18-declared imported", "MI-18-declared page"}},
		{"nothing is declared any more", func() { b.declare("app:billing", from.Add(4*time.Second), schemas.Expect{}) }, []string{"MI-08 digest", "MI-18 page"}},
		{"what is declared of another", func() { b.declare("app:other", from, schemas.Expect{Networks: []string{home}}) }, []string{"MI-08 digest", "MI-18 page"}},
	} {
		step.change()
		b.tick()
		if diff := cmp.Diff(step.want, b.open()); diff != "" {
			t.Fatalf("%s: open (-want +got):\n%s", step.what, diff)
		}
	}
}
