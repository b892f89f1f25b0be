package provision

import (
	"context"
	"encoding/json"
	"time"
)

const roleBackupFormat = "m2mwatch role backup 1"

// RoleBackup is what a role was, raw as it was answered. None of it is secret. A
// role that is made again gets another id.
type RoleBackup struct {
	Format      string            `json:"format"`
	Tenant      string            `json:"tenant"`
	At          time.Time         `json:"at"`
	Role        json.RawMessage   `json:"role"`
	Permissions []json.RawMessage `json:"permissions"`
	Members     []json.RawMessage `json:"members"` // the users who have it
}

// Backup reads all that there is of the role of an id. Tenant and At are the
// caller's.
func (r *Roles) Backup(ctx context.Context, role Role) (RoleBackup, error) {
	b := RoleBackup{Format: roleBackupFormat, Role: role.Raw}
	var err error
	if b.Permissions, err = r.Permissions(ctx, role.ID); err != nil {
		return b, err
	}
	b.Members, err = collectFrom(ctx, r.API, []string{"roles", role.ID, "users"}, "users")
	return b, err
}
