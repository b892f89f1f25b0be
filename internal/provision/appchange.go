package provision

import (
	"context"
	"fmt"
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
