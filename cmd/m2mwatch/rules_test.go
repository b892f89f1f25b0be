package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readGrant finds something alone, once it is known whom it is not for.
const readGrant = `title: A grant was widened
id: 00000000-0000-4000-8000-0000000000b1
level: high
logsource: {product: auth0}
detection:
  selection: {data.type: sapi, data.description: Update client grant}
  filter: {data.client_id: {global_client_id}}
  condition: selection and not filter
`

// grantUpdate is one that readGrant is for.
func grantUpdate(n int, at time.Time) string {
	id := fmt.Sprintf("900%s%041d", at.UTC().Format("20060102150405")+"000", n)[:56]
	return fmt.Sprintf(`{"log_id":%q,"data":{"log_id":%q,"type":"sapi","date":%q,"description":"Update client grant","client_id":"deployer","ip":"198.51.100.7"}}`,
		id, id, at.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// TestRulesReloadWithoutRestart fills a placeholder, breaks a rule and mends it
// while the program runs.
func TestRulesReloadWithoutRestart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "m2mwatch.yaml")
	save := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const base = "tenants: [{name: acme, secrets: [" + testSecret + "]}]\napi: {tokens: [{name: test, token: " + testToken + "}]}\nrules: {dirs: [rules]"
	save(file, base+"}\n")
	save(filepath.Join(dir, "rules", "grant.yml"), readGrant)
	i := startProgram(t, nil, "up", "--config", file, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--log-format", "json")
	logged := func(text string) {
		t.Helper()
		i.eventually("the log to say "+text, func() error {
			if !strings.Contains(i.log(), text) {
				return fmt.Errorf("it does not")
			}
			return nil
		})
	}
	value := func(metric string, want float64) {
		t.Helper()
		i.eventually(fmt.Sprintf("%s to be %v", metric, want), func() error {
			if got := i.metric(metric); got != want {
				return fmt.Errorf("it is %v", got)
			}
			return nil
		})
	}
	logged("needs configuration: {global_client_id}")
	shipped := i.metric("m2mwatch_rules_loaded")
	value("m2mwatch_rules_set_aside", 1)

	save(file, base+", placeholders: {global_client_id: GLOBAL}}\n")
	value("m2mwatch_rules_set_aside", 0)
	value("m2mwatch_rules_loaded", shipped+1)

	save(filepath.Join(dir, "rules", "broken.yaml"), strings.Replace(readGrant, "condition: selection and not filter", "condition: selections", 1))
	logged("the changed rules are not valid")
	logged(`rules/broken.yaml:8: condition: want the name of a selection, found \"selections\"`)
	value("m2mwatch_rules_loaded", shipped+1)

	i.postAll([]string{grantUpdate(1, time.Now().Add(-time.Minute))})
	i.eventually("the finding of the rule", func() error {
		for _, f := range i.findings() {
			if f.RuleID == "00000000-0000-4000-8000-0000000000b1" {
				return nil
			}
		}
		return fmt.Errorf("found %+v", i.findings())
	})

	if err := os.Remove(filepath.Join(dir, "rules", "broken.yaml")); err != nil {
		t.Fatal(err)
	}
	save(filepath.Join(dir, "rules", "grant.yml"), strings.Replace(readGrant, "00b1", "00b2", 1)+"---\n"+strings.Replace(readGrant, "A grant", "Another grant", 1))
	value("m2mwatch_rules_loaded", shipped+2)
	i.interrupt()
}

func TestStartRefusesABrokenRule(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yml"), []byte(strings.Replace(readGrant, "level: high", "level: hihg", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dirs := range map[string]string{"broken": dir, "missing": filepath.Join(dir, "nowhere")} {
		var stderr strings.Builder
		environ := append(cleanEnviron(), "M2MWATCH_RULES_DIRS=["+dirs+"]", "M2MWATCH_ENGINE_LIBRARY="+engineLibrary(t))
		code := run([]string{"m2mwatch", "up", "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0", "--webhook-listen", "127.0.0.1:0"}, environ, nil, &strings.Builder{}, &stderr)
		want := map[string]string{"broken": filepath.Join(dir, "a.yml") + ":3: level: want informational", "missing": "rules.dirs: "}[name]
		if code != exitError || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, %s; want %d and %q", name, code, &stderr, exitError, want)
		}
	}
}
