package schemas

import (
	"fmt"
	"regexp"
)

// TenantPattern is what a tenant's name must match: it is a token of a NATS
// subject and a path segment of the webhook's URL.
const TenantPattern = `^[a-z0-9-]{1,63}$`

var tenantName = regexp.MustCompile(TenantPattern)

// CheckTenant returns an error that says what a tenant's name may hold, or nil.
func CheckTenant(name string) error {
	if !tenantName.MatchString(name) {
		return fmt.Errorf("tenant name %q: want 1 to 63 characters of a-z, 0-9 and -", name)
	}
	return nil
}
