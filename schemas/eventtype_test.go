package schemas_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/m2mwatch/m2mwatch/schemas"
)

func TestEventTypesKnowTheirOutcome(t *testing.T) {
	t.Parallel()
	types := schemas.EventTypes()
	if types.Len() != 195 {
		t.Errorf("%d event types, want 195", types.Len())
	}
	for code, want := range map[string]struct {
		outcome schemas.Outcome
		machine schemas.MachineClass
	}{
		"seccft":                          {schemas.OutcomeSuccess, schemas.MachineClassM2M},
		"feccft":                          {schemas.OutcomeFailure, schemas.MachineClassM2M},
		"token_quota_consumption_warning": {schemas.OutcomeLimit, schemas.MachineClassM2M},
		"sapi":                            {schemas.OutcomeSuccess, schemas.MachineClassManagement},
		"mgmt_api_read":                   {schemas.OutcomeSuccess, schemas.MachineClassManagement},
		"fapi":                            {schemas.OutcomeFailure, schemas.MachineClassManagement},
		"api_limit":                       {schemas.OutcomeLimit, schemas.MachineClassLimit},
		"s":                               {schemas.OutcomeSuccess, schemas.MachineClassNone},
		"du":                              {schemas.OutcomeInfo, schemas.MachineClassNone},
		// A name's first letter tells nothing.
		"feta":                       {schemas.OutcomeFailure, schemas.MachineClassDelegated},
		"srrt":                       {schemas.OutcomeSuccess, schemas.MachineClassRefresh},
		"ss_sso_failure":             {schemas.OutcomeFailure, schemas.MachineClassNone},
		"signup_pwd_leak":            {schemas.OutcomeLimit, schemas.MachineClassNone},
		"federated_logout_failed":    {schemas.OutcomeFailure, schemas.MachineClassNone},
		"flows_execution_completed":  {schemas.OutcomeSuccess, schemas.MachineClassNone},
		"forms_submission_succeeded": {schemas.OutcomeSuccess, schemas.MachineClassNone},
		"jwt_bearer_exchange_failed": {schemas.OutcomeFailure, schemas.MachineClassDelegated},
		"sepft":                      {schemas.OutcomeSuccess, schemas.MachineClassPassword},
		"sscim":                      {schemas.OutcomeSuccess, schemas.MachineClassProvisioning},
		"resource_cleanup":           {schemas.OutcomeInfo, schemas.MachineClassRefresh},
		"actions_execution_failed":   {schemas.OutcomeFailure, schemas.MachineClassAction},
		"kms_key_state_changed":      {schemas.OutcomeInfo, schemas.MachineClassKeys},
		"ciba_exchange_succeeded":    {schemas.OutcomeSuccess, schemas.MachineClassCIBA},
		"sede":                       {schemas.OutcomeSuccess, schemas.MachineClassDevice},
		"depnote":                    {schemas.OutcomeInfo, schemas.MachineClassNotice},
	} {
		got, ok := types.Lookup(code)
		if !ok || got.Code != code || got.Title == "" || got.Outcome != want.outcome || got.Machine != want.machine {
			t.Errorf("Lookup(%q) = %+v, %t, want %v", code, got, ok, want)
		}
	}
	for _, code := range []string{"", "brand_new", "SECCFT", "code"} {
		if got, ok := types.Lookup(code); ok {
			t.Errorf("Lookup(%q) = %+v, want nothing", code, got)
		}
	}
}

const eventTypesHeader = "code\ttitle\tcategory\toutcome\tmachine\n"

func TestEventTypesHaveEveryColumn(t *testing.T) {
	t.Parallel()
	all := schemas.EventTypes().All()
	if len(all) != 195 {
		t.Errorf("%d event types, want 195", len(all))
	}
	nowhere := 0
	for i, et := range all {
		if i > 0 && all[i-1].Code >= et.Code {
			t.Errorf("%s stands before %s", all[i-1].Code, et.Code)
		}
		if et.Title == "" {
			t.Errorf("%s has no title", et.Code)
		}
		if et.Category == "" {
			nowhere++
		}
	}
	if nowhere != 9 { // the quota's warning, and codes that Auth0 has taken back
		t.Errorf("%d event types without a category, want 9", nowhere)
	}
}

func TestWithAddsAndReplacesEventTypes(t *testing.T) {
	t.Parallel()
	base := schemas.EventTypes()
	got, err := base.With("mine.tsv", "# since August\n\n"+eventTypesHeader+
		"brand_new\tBrand new\t\tfailure\tdelegated\n"+
		"s\tLogin\tauth.login.success\tinfo\tpassword\r\n"+
		"last\tNo end of line\tother\tlimit\t")
	if err != nil {
		t.Fatal(err)
	}
	if got.Len() != base.Len()+2 {
		t.Errorf("%d event types, want two more than %d", got.Len(), base.Len())
	}
	for _, want := range []schemas.EventType{
		{Code: "brand_new", Title: "Brand new", Outcome: schemas.OutcomeFailure, Machine: schemas.MachineClassDelegated},
		{Code: "s", Title: "Login", Category: "auth.login.success", Outcome: schemas.OutcomeInfo, Machine: schemas.MachineClassPassword},
		{Code: "last", Title: "No end of line", Category: "other", Outcome: schemas.OutcomeLimit},
	} {
		et, _ := got.Lookup(want.Code)
		if diff := cmp.Diff(want, et); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Code, diff)
		}
	}
	if et, _ := base.Lookup("s"); et.Outcome != schemas.OutcomeSuccess {
		t.Errorf("the catalogue that was added to has changed: %+v", et)
	}
}

func TestWithRefusesABrokenTable(t *testing.T) {
	t.Parallel()
	for table, want := range map[string]string{
		"":                              "x.tsv:1: no header",
		"# nothing\n":                   "x.tsv:2: no header",
		"type\ttitle\n":                 "x.tsv:1: unexpected header",
		eventTypesHeader + "s\tLogin\n": "x.tsv:2: line \"s\\tLogin\": want 5 columns",
		eventTypesHeader + "s\tLogin\t\tinfo\t\t\n":                  "x.tsv:2: line",
		eventTypesHeader + "\tLogin\t\tinfo\t\n":                     "x.tsv:2: line",
		eventTypesHeader + "#\n\ns\tLogin\t\tok\t\n":                 "x.tsv:4: s: unknown outcome \"ok\"",
		eventTypesHeader + "s\tLogin\t\tunknown\t\n":                 "x.tsv:2: s: unknown outcome",
		eventTypesHeader + "s\tLogin\t\tinfo\tx\n":                   "x.tsv:2: s: unknown machine class \"x\"",
		eventTypesHeader + strings.Repeat("s\tLogin\t\tinfo\t\n", 2): "x.tsv:3: s is there twice",
	} {
		if c, err := schemas.EventTypes().With("x.tsv", table); err == nil || c != nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("table %q: %v, want %s", table, err, want)
		}
	}
}
