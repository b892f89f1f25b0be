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

// hideApp replaces the secrets in an application's document: keys, and what its
// addons sign in with.
func hideApp(inv *invocation, reveal bool, raw json.RawMessage) (json.RawMessage, error) {
	if reveal {
		return raw, nil
	}
	shown, hidden, err := provision.RedactApp(raw)
	if hidden > 0 {
		fmt.Fprintf(inv.stderr, "hidden: %d secrets\n", hidden)
	}
	return shown, err
}

// printAppDocument prints an application, without secrets unless they are asked for.
func printAppDocument(inv *invocation, raw json.RawMessage, reveal, asJSON bool) error {
	shown, err := hideApp(inv, reveal, raw)
	if err != nil {
		return err
	}
	return printDocument(inv, shown, asJSON)
}
