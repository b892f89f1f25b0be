package bench

import (
	"bytes"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBatchesHoldEveryRecordAndTellTheLast(t *testing.T) {
	r := &road{}
	all := slices.Collect(r.logs(1, 60))
	bodies := batches(slices.Values(all), 20)
	if len(bodies) != 3 {
		t.Fatalf("%d batches of 60 records, want 3", len(bodies))
	}
	var sent [][]byte
	for _, body := range bodies {
		sent = slices.AppendSeq(sent, lines(body))
	}
	if diff := cmp.Diff(all, sent); diff != "" {
		t.Errorf("(-made +sent):\n%s", diff)
	}
	id, err := lastLogID(bodies[2])
	if err != nil || !bytes.Contains(all[59], []byte(`"log_id":"`+id+`"`)) {
		t.Errorf("the last log_id is %q, %v; the record is %s", id, err, all[59])
	}
	if _, err := lastLogID([]byte("{}\n")); err == nil {
		t.Error("a record without a log_id is passed over")
	}
}

func TestCPUTimeIsThatOfTheProcess(t *testing.T) {
	self := []int{os.Getpid()}
	before := cpuTime(self)
	for n := 0; cpuTime(self) < before+5*clockTick; n++ { // it ends because this loop costs time
		_ = n
	}
	if u := (usage{cpu: 2 * time.Second, events: 1_000_000, resident: 3 << 20}).String(); u != "2.0 CPU s per million events, 3 MiB resident" {
		t.Errorf("usage %q", u)
	}
}
