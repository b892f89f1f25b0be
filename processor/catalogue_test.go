//go:build shared

package processor

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/m2mwatch/m2mwatch/processor/detect"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// sharedVariable names a folder that has data/auth0-detections with rules of
// Auth0's Customer Detection Catalog, which are not ours to keep here: see make
// test-detections.
const sharedVariable = "M2MWATCH_SHARED"

// filled is what the catalogue leaves to its reader.
var filled = map[string][]string{
	"your-tenant-domain": {"acme.eu.auth0.com"}, "global_client_id": {"GLOBAL"},
	"trusted-client_id-1": {"terraform"}, "trusted-client_id-2": {"ci"},
	"your-tenant-url": {"acme.eu.auth0.com"}, "api_explorer_client_id": {"explorer"},
}

// neighbours are, by file, an event that its rule is for, and the nearest that
// it is not for.
var neighbours = map[string]struct{ fires, quiet string }{
	"attack_protection_features_turned_off": {
		`"type":"sapi","description":"Update Brute-force settings","details":{"request":{"body":{"enabled":false}},"response":{"body":{"enabled":false}}}`,
		`"type":"sapi","description":"Update Brute-force settings","details":{"request":{"body":{"enabled":false}},"response":{"body":{"enabled":true}}}`,
	},
	"brute_force_critical_settings_manipulated": {
		`"type":"sapi","description":"Update Brute-force settings","details":{"response":{"body":{"enabled":true,"shields":["user_notification"]}}}`,
		`"type":"sapi","description":"Update Brute-force settings","details":{"response":{"body":{"enabled":true,"shields":["user_notification","block"]}}}`,
	},
	"client_with_overpermissive_granted_scopes": {
		`"type":"sapi","description":"Create a client","client_id":"someone"`,
		`"type":"sapi","description":"Create a client","client_id":"GLOBAL"`,
	},
	"credential_stuffing_signals": {`"type":"pwd_leak","ip":"192.0.2.1"`, `"type":"s","ip":"192.0.2.1"`},
	"grant_mgn_api_scopes": {
		`"type":"sapi","description":"Update client grant","details":{"request":{"body":{"scope":["read:users","delete:users"]}},"response":{"body":{"audience":"https://acme.eu.auth0.com/api/v2/","client_id":"someone"}}}`,
		`"type":"sapi","description":"Update client grant","details":{"request":{"body":{"scope":["read:users","delete:users"]}},"response":{"body":{"audience":"https://acme.eu.auth0.com/api/v2/","client_id":"ci"}}}`,
	},
	"many_failed_authorization_requests": {
		`"type":"f","description":"Callback URL mismatch. https://evil.example is not in the list"`,
		`"type":"f","description":"Wrong email or password."`,
	},
	"refresh_token_from_multiple_user_agent": {`"type":"sertft","client_id":"spa"`, `"type":"fertft","client_id":"spa"`},
	"risk_of_copying_client_credentials": {
		`"type":"mgmt_api_read","description":"Get client by ID","details":{"accessedSecrets":["client_secret"],"response":{"body":{"client_id":"critical-client_id-1"}}}`,
		`"type":"mgmt_api_read","description":"Get client by ID","details":{"accessedSecrets":["signing_keys"],"response":{"body":{"client_id":"critical-client_id-1"}}}`,
	},
}

func catalogueFolder(t *testing.T) string {
	t.Helper()
	shared := os.Getenv(sharedVariable)
	if shared == "" {
		t.Fatalf("%s names no folder with Auth0's own rules: make test-detections", sharedVariable)
	}
	return filepath.Join(shared, "data", "auth0-detections")
}

func loadCatalogue(t *testing.T, folder string, placeholders map[string][]string) *detect.Set {
	t.Helper()
	set, err := detect.Load(detect.Options{
		Sources:   []detect.Source{{Name: folder, FS: os.DirFS(folder)}},
		Catalogue: schemas.EventTypes(), Placeholders: placeholders,
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestCatalogueOfAuth0FiresAndStaysQuiet(t *testing.T) {
	folder := catalogueFolder(t)
	set := loadCatalogue(t, folder, filled)
	alone := maps.Clone(neighbours)
	selected := func(file, members string) bool {
		e := normalize(t, event(members))
		for _, m := range set.Match(nil, &e) {
			for _, r := range set.Rules() {
				if r.Selector == m.Selector && strings.TrimSuffix(filepath.Base(r.File), filepath.Ext(r.File)) == file {
					return true
				}
			}
		}
		return false
	}
	for _, c := range set.Correlations() { // their logs stand with the correlations' test
		if !c.Alone() {
			delete(alone, strings.TrimSuffix(filepath.Base(c.File), filepath.Ext(c.File)))
		}
	}
	for file, n := range alone {
		if !selected(file, n.fires) {
			t.Errorf("%s: stays quiet on %s", file, n.fires)
		}
		if selected(file, n.quiet) {
			t.Errorf("%s: fires on %s", file, n.quiet)
		}
	}
	for _, r := range set.Rules() {
		if _, known := neighbours[strings.TrimSuffix(filepath.Base(r.File), filepath.Ext(r.File))]; !known {
			t.Logf("%s:%d is loaded (finds: %v), and no event is here for it", r.File, r.Line, r.Finds)
		}
	}
	for _, a := range set.Asides() {
		t.Logf("set aside: %s", a.Reasons)
	}
}

// Nothing of the catalogue vanishes: each document is a rule, or says why it is
// none.
func TestCatalogueOfAuth0LoadsWithoutConfiguration(t *testing.T) {
	folder := catalogueFolder(t)
	set := loadCatalogue(t, folder, nil)
	files, err := filepath.Glob(filepath.Join(folder, "*.y*ml"))
	if err != nil || len(files) < len(neighbours) {
		t.Fatalf("%d files, error %v; want at least %d", len(files), err, len(neighbours))
	}
	accounted := map[string]bool{}
	for _, r := range set.Rules() {
		accounted[r.File] = true
	}
	missing := map[string]bool{}
	for _, a := range set.Asides() {
		accounted[a.File] = true
		for _, name := range a.Placeholders {
			missing[name] = true
		}
	}
	for _, f := range files {
		if !accounted[f] {
			t.Errorf("%s: neither loaded nor set aside", f)
		}
	}
	for _, name := range []string{"global_client_id", "your-tenant-domain", "trusted-client_id-1", "trusted-client_id-2"} {
		if !missing[name] {
			t.Errorf("placeholder %s is not asked for", name)
		}
	}
}
