package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Update changes what changes names: null in client_metadata removes a member;
// members that it does not name stay.
func (a *Apps) Update(ctx context.Context, id string, changes map[string]any) (App, error) {
	var app App
	err := settle(func() error {
		_, err := a.API.Patch(ctx, []string{"clients", id}, changes)
		return err
	}, func() (left []string, err error) {
		if app, err = a.Get(ctx, id); err != nil {
			return nil, err
		}
		return differences(app.Raw, changes)
	})
	if err != nil {
		return app, fmt.Errorf("update application %s: %w", id, err)
	}
	return app, nil
}

const appBackupFormat = "m2mwatch application backup 1"

// AppBackup is what an application was, raw as it was answered, without its
// secret. Nothing brings an application back under its client id.
type AppBackup struct {
	Format      string            `json:"format"`
	Tenant      string            `json:"tenant"`
	At          time.Time         `json:"at"`
	Client      json.RawMessage   `json:"client"`
	Grants      []json.RawMessage `json:"grants"`
	Credentials json.RawMessage   `json:"credentials"` // their public part
}

// Backup reads all that there is of an application. Tenant and At are the
// caller's.
func (a *Apps) Backup(ctx context.Context, id string) (AppBackup, error) {
	b := AppBackup{Format: appBackupFormat, Grants: []json.RawMessage{}}
	app, err := a.Get(ctx, id)
	if err != nil {
		return b, err
	}
	grants, err := a.Grants(ctx, id)
	if err != nil {
		return b, err
	}
	for _, g := range grants {
		b.Grants = append(b.Grants, g.Raw)
	}
	b.Client = app.Raw
	b.Credentials, err = a.API.Get(ctx, []string{"clients", id, "credentials"}, nil)
	return b, err
}

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
	if err := a.API.Delete(ctx, []string{"clients", id}, nil); err != nil {
		return err
	}
	_, err := a.API.Get(ctx, []string{"clients", id}, nil)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look whether application %s is gone: %w", id, err)
	}
	return fmt.Errorf("application %s is still there, though its deletion was answered as done", id)
}
