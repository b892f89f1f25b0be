package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// ofApp is what commands have that change an application by its id.
type ofApp struct {
	provisioning
	any bool
}

func (o *ofApp) flags(cmd *cobra.Command, inv *invocation) {
	o.provisioning.flags(cmd, inv)
	cmd.Flags().BoolVar(&o.any, "any", false, "also an application through which people sign in")
}

// get reads an application, and refuses one that is no machine's.
func (o *ofApp) get(cmd *cobra.Command, apps *provision.Apps, id string) (provision.App, error) {
	app, err := apps.Get(cmd.Context(), id)
	if err == nil && !o.any && !app.Machine() {
		err = fmt.Errorf("%s is not a machine's alone (app_type %s, grant_types %q): people may sign in through it; say --any if it is meant", appText(&app), app.Type, app.GrantTypes)
	}
	return app, err
}

// appText names an application in a sentence.
func appText(app *provision.App) string { return printable(fmt.Sprintf("%s (%s)", app.Name, app.ID)) }

// hideApps replaces the secrets in applications' documents, keys and what addons sign
// in with, and says that there were some.
func hideApps(inv *invocation, reveal bool, raws []json.RawMessage) ([]json.RawMessage, error) {
	if reveal {
		return raws, nil
	}
	shown, all := make([]json.RawMessage, 0, len(raws)), 0
	for _, raw := range raws {
		safe, hidden, err := provision.RedactApp(raw)
		if err != nil {
			return nil, err
		}
		shown, all = append(shown, safe), all+hidden
	}
	if all > 0 {
		fmt.Fprintf(inv.stderr, "hidden: %d secrets and keys\n", all)
	}
	return shown, nil
}

func hideApp(inv *invocation, reveal bool, raw json.RawMessage) (json.RawMessage, error) {
	shown, err := hideApps(inv, reveal, []json.RawMessage{raw})
	if err != nil {
		return nil, err
	}
	return shown[0], nil
}

// printAppDocument prints an application, without secrets unless they are asked for.
func printAppDocument(inv *invocation, raw json.RawMessage, reveal, asJSON bool) error {
	shown, err := hideApp(inv, reveal, raw)
	if err != nil {
		return err
	}
	return printDocument(inv, shown, asJSON)
}
