package schemas_test

import (
	"testing"

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
