package provision

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// The forms of a backup. The first had neither organizations nor connections.
const (
	appBackupFormat      = "m2mwatch application backup 2"
	firstAppBackupFormat = "m2mwatch application backup 1"
)

// AppBackup is what an application was, raw as it was answered, without its
// secret. Nothing brings an application back under its client id.
type AppBackup struct {
	Format      string            `json:"format"`
	Tenant      string            `json:"tenant"`
	At          time.Time         `json:"at"`
	Client      json.RawMessage   `json:"client"`
	Grants      []json.RawMessage `json:"grants"`
	Credentials []json.RawMessage `json:"credentials"` // what Auth0 tells of them, which is not the keys
	// Organizations are those of a grant, by the id of the grant.
	Organizations map[string][]Organization `json:"organizations,omitempty"`
	Connections   []Connection              `json:"connections"` // that the application could use
}

// Organization is what a backup has of one.
type Organization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Connection is what a backup has of one: more would be its secrets.
type Connection struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Strategy string `json:"strategy"`
}

// Backup reads all that there is of an application. Tenant and At are the
// caller's.
func (a *Apps) Backup(ctx context.Context, id string) (AppBackup, error) {
	b := AppBackup{Format: appBackupFormat, Grants: []json.RawMessage{}, Organizations: map[string][]Organization{}}
	app, err := a.Get(ctx, id)
	if err != nil {
		return b, err
	}
	b.Client = app.Raw
	grants, err := a.Grants(ctx, id)
	if err != nil {
		return b, err
	}
	for i := range grants {
		b.Grants = append(b.Grants, grants[i].Raw)
		if !grants[i].ToOrganizations() {
			continue
		}
		if b.Organizations[grants[i].ID], err = a.organizations(ctx, grants[i].ID); err != nil {
			return b, fmt.Errorf("organizations of the grant of %s: %w", grants[i].Audience, err)
		}
	}
	if b.Credentials, err = a.credentials(ctx, id); err != nil {
		return b, err
	}
	b.Connections, err = a.connections(ctx, id)
	return b, err
}

// organizations are those that a grant is associated with.
func (a *Apps) organizations(ctx context.Context, grantID string) ([]Organization, error) {
	raws, err := collectFrom(ctx, a.API, []string{"client-grants", grantID, "organizations"}, "organizations")
	if err != nil {
		return nil, err
	}
	return decode[Organization](raws)
}

// connections are those that an application can use.
func (a *Apps) connections(ctx context.Context, id string) ([]Connection, error) {
	raws, err := collectFrom(ctx, a.API, []string{"clients", id, "connections"}, "connections")
	if err != nil {
		return nil, err
	}
	return decode[Connection](raws)
}

func (a *Apps) credentials(ctx context.Context, id string) ([]json.RawMessage, error) {
	raw, err := a.API.Get(ctx, []string{"clients", id, "credentials"}, nil)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("read the credentials: %w", err)
	}
	return list, nil
}

// ReadAppBackup reads what was kept.
func ReadAppBackup(text []byte) (AppBackup, error) {
	var b AppBackup
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("read the backup: %w", err)
	}
	if b.Format != appBackupFormat && b.Format != firstAppBackupFormat {
		return b, fmt.Errorf("read the backup: it is %q, want %q", b.Format, appBackupFormat)
	}
	app, err := b.Subject()
	if err == nil && app.ID == "" {
		err = fmt.Errorf("read the backup: it has no client_id")
	}
	return b, err
}

// Subject is the application that the backup is of.
func (b *AppBackup) Subject() (App, error) { return readApp(b.Client) }

// Whole reports whether the backup can have organizations and connections.
func (b *AppBackup) Whole() bool { return b.Format == appBackupFormat }

// Delete deletes an application when keep has kept its backup, and looks whether
// it is gone. Without keep there is no backup.
func (a *Apps) Delete(ctx context.Context, id string, keep func(*AppBackup) error) error {
	if keep != nil {
		backup, err := a.Backup(ctx, id)
		if err == nil {
			err = keep(&backup)
		}
		if err != nil {
			return fmt.Errorf("application %s is not deleted: %w", id, err)
		}
	}
	return remove(ctx, a.API, "application "+id, []string{"clients", id})
}
