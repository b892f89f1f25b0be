package detect_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/fstest"
	"time"

	"github.com/m2mwatch/m2mwatch/internal/clickhouse"
	"github.com/m2mwatch/m2mwatch/internal/clickhouse/clickhousetest"
	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

const rotations = `title: Rotated
id: 00000000-0000-4000-8000-000000000001
name: rotated
level: informational
logsource: {product: auth0}
detection: {s: {type: sapi}, condition: s}
x-match: {key: target_client, value: [path]}
---
title: Rotated by others
id: 00000000-0000-4000-8000-000000000002
level: low
x-alert: {summary: x}
x-sequence:
  steps: [{rules: [rotated]}]
  ours: ignore
x-tests:
  - {name: a, expect: 1, events: [{at: 0s, log: {type: s}}]}
  - {name: b, expect: 0, events: [{at: 0s, log: {type: s}}]}
`

// Whoever has the secret of the provisioning application is that application; what
// it was told to do stands in the log of provisioning alone.
func TestSequenceLeavesOutWhatProvisioningDid(t *testing.T) {
	set, err := detect.Parse(fstest.MapFS{"a.yml": {Data: []byte(rotations)}})
	if err != nil {
		t.Fatal(err)
	}
	c := set.Correlations()[0]
	db := clickhousetest.New(t)
	var s stored
	calls := []schemas.ProvisionCall{}
	for i, change := range []struct {
		target, by, path string
		ours             time.Duration // after the record of it; 0 is none
		outcome          schemas.ProvisionOutcome
	}{
		{"planned", "provisioner", "/api/v2/clients/planned/rotate-secret", time.Second, schemas.ProvisionDone},
		{"planned|odd", "provisioner", "/v2/clients/planned%7Codd/rotate-secret", time.Second, schemas.ProvisionBegun},
		{"unplanned", "provisioner", "/api/v2/clients/unplanned/rotate-secret", 0, ""},
		{"later", "provisioner", "/api/v2/clients/later/rotate-secret", time.Hour, schemas.ProvisionDone},
		{"refused", "provisioner", "/api/v2/clients/refused/rotate-secret", time.Second, schemas.ProvisionRefused},
		{"stranger", "stranger", "/api/v2/clients/stranger/rotate-secret", 0, ""},
	} {
		at := origin.Add(time.Duration(i) * time.Minute)
		logID := fmt.Sprintf("log-%d", i)
		s.events = append(s.events, schemas.Event{
			Tenant: tenant, ClientID: change.by, Time: at, LogID: logID, Ver: 1, Type: "sapi", Source: schemas.SourceStream, IngestedAt: at,
			Call: schemas.Call{Method: "POST", Path: change.path, Target: schemas.AppID(change.target)},
		})
		s.matches = append(s.matches, schemas.Match{
			Selector: c.Main.Selector, Tenant: tenant, Key: change.target, Time: at, LogID: logID, Value: change.path, ClientID: change.by, Ver: 1, Source: schemas.SourceStream,
		})
		if change.ours > 0 {
			calls = append(calls, schemas.ProvisionCall{
				ID: logID, At: at.Add(-change.ours), Domain: "acme.eu.auth0.com", ClientID: "provisioner", Method: "POST",
				Path: map[bool]string{true: change.path, false: "/api/v2/clients/planned%7Codd/rotate-secret"}[i != 1], Outcome: change.outcome,
			})
		}
	}
	s.insert(t, rand.New(rand.NewPCG(1, 1)), db)
	if err := clickhouse.NewProvisionLog(db).RecordCalls(t.Context(), calls); err != nil {
		t.Fatal(err)
	}
	keys := []string{"planned", "planned|odd", "unplanned", "later", "refused", "stranger"}
	rows, err := clickhouse.NewFindingStore(db).Correlate(t.Context(), c.Query(tenant, keys, origin, origin.Add(days)))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, r.Key)
	}
	if want := "[later refused stranger unplanned]"; fmt.Sprint(got) != want {
		t.Errorf("found of %v, want %s", got, want)
	}
}
