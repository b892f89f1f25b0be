package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// disabling is where the grants of an application are kept.
type disabling struct {
	file   string
	merge  []string // files of earlier runs whose grants are kept, too
	ignore bool
}

func newAppsDisable(inv *invocation) *cobra.Command {
	var (
		o   = ofApp{provisioning: provisioning{inv: inv}}
		ask asking
		d   disabling
	)
	cmd := &cobra.Command{
		Use:   "disable CLIENT_ID",
		Short: "Take an application's grants away, and keep them for enable",
		Long: `disable writes the grants of an application, with their organizations, to a file and takes them
away: it gets no more tokens. It says how long those that it has stay good: Auth0 cannot take them
back. enable FILE gives the grants back.

A run that was cut short has written all the grants that there were to its file, and taken some of
them. The next one refuses to write a second file that lacks those, until --merge FILE has it keep
them, too.`,
		Args: theArgs(1, "one client id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := errors.Join(ask.check(cmd, inv), d.check()); err != nil {
				return err
			}
			api, err := o.begin(cmd)
			if err != nil {
				return err
			}
			apps := &provision.Apps{API: api}
			app, err := o.get(cmd, apps, args[0])
			if err != nil {
				return err
			}
			if err := notItself(&o.provisioning, app.ID); err != nil {
				return err
			}
			earlier, err := d.earlier(cmd, apps, &app, o.domain)
			if err != nil {
				return err
			}
			if apps.API, err = ofOrganizations(cmd, &o.provisioning, apps, app.ID, nil); err != nil {
				return err
			}
			what := appText(&app)
			if yes, err := ask.agreed(inv, "disable "+what, "Disable "+what+"?"); !yes {
				return err
			}
			taken, err := apps.Disable(cmd.Context(), app.ID, earlier, func(kept *provision.Disabled) error {
				kept.Tenant, kept.At = o.domain, time.Now().UTC()
				return d.keep(inv, kept)
			})
			if err != nil {
				return err
			}
			fmt.Fprintln(inv.stderr, what, "is disabled")
			if taken.Unmarked != nil {
				fmt.Fprintf(inv.stderr, "warning: it is not marked as disabled, so that an apply of a file that has it gives it grants again: %v\n", taken.Unmarked)
			}
			tellTokens(cmd.Context(), inv, app.ID, taken.Valid)
			return nil
		},
	}
	o.flags(cmd, inv)
	ask.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&d.file, "grants-file", "", "the new file to keep the grants in (default: one in this folder, named by the client id and the time)")
	f.StringArrayVar(&d.merge, "merge", nil, "a file that an earlier run has kept grants in: keep those that it has taken, too")
	f.BoolVar(&d.ignore, "ignore-earlier", false, "what earlier runs have kept in files is not missed")
	cmd.MarkFlagsMutuallyExclusive("merge", "ignore-earlier")
	return cmd
}

func (d *disabling) check() error {
	if d.file == "" {
		return nil
	}
	if _, err := os.Lstat(d.file); err == nil {
		return fmt.Errorf("%w: --grants-file %s: it is there already", errUsage, d.file)
	}
	return nil
}

// name is what the files of an application in a tenant begin with.
func (d *disabling) name(clientID string) string {
	return "disabled-" + strings.ReplaceAll(clientID, string(os.PathSeparator), "_") + "-"
}

// earlier reads what earlier runs have kept, and refuses where one of them has
// grants that the application does not have now and that the new file would lack.
func (d *disabling) earlier(cmd *cobra.Command, apps *provision.Apps, app *provision.App, domain string) ([]provision.Disabled, error) {
	grants, err := apps.Grants(cmd.Context(), app.ID)
	if err != nil {
		return nil, err
	}
	var merged []provision.Disabled
	for _, path := range d.merge {
		kept, err := readDisabledFile(path)
		if err == nil && kept.ClientID != app.ID {
			err = fmt.Errorf("%s is of application %s", path, kept.ClientID)
		}
		if err != nil {
			return nil, fmt.Errorf("--merge: %w", err)
		}
		merged = append(merged, kept)
	}
	found, err := filepath.Glob(filepath.Join(filepath.Dir(d.file), d.name(globbed(app.ID))+"*.json"))
	if err != nil {
		return nil, err
	}
	for _, path := range found {
		kept, err := readDisabledFile(path)
		if err != nil || kept.ClientID != app.ID || kept.Tenant != domain || d.ignore || slices.ContainsFunc(d.merge, func(other string) bool { return sameFile(path, other) }) {
			continue // no file of ours, or one that is answered for
		}
		missing, err := kept.Missing(grants)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		case len(missing) > 0 && len(grants) == 0:
			return nil, fmt.Errorf("application %s: %w (%s has its grants)", app.ID, provision.ErrDisabled, path)
		case len(missing) > 0:
			return nil, fmt.Errorf("%s has kept %d grants that %s does not have now, of %s: a new file would lack them. Say --merge %s to keep them, too, or --ignore-earlier", path, len(missing), app.ID, audiences(missing), path)
		}
	}
	if len(grants) == 0 {
		return nil, fmt.Errorf("application %s: %w", app.ID, provision.ErrDisabled)
	}
	return merged, nil
}

func audiences(grants []provision.Grant) string {
	var list []string
	for i := range grants {
		list = append(list, grants[i].Audience)
	}
	return strings.Join(list, ", ")
}

// globbed is a text that matches itself alone in a pattern of file names.
func globbed(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(text)
}

func sameFile(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

func readDisabledFile(path string) (provision.Disabled, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return provision.Disabled{}, err
	}
	return provision.ReadDisabled(text)
}

// keep writes what is taken before it is.
func (d *disabling) keep(inv *invocation, taken *provision.Disabled) error {
	text, err := json.MarshalIndent(taken, "", "  ")
	if err != nil {
		return err
	}
	path := d.file
	if path == "" {
		path = d.name(taken.ClientID) + taken.At.Format("20060102T150405.000Z") + ".json"
	}
	if err := provision.WriteSecret(path, append(text, '\n')); err != nil {
		return err
	}
	_, err = fmt.Fprintln(inv.stdout, path)
	return err
}

func newAppsEnable(inv *invocation) *cobra.Command {
	p := provisioning{inv: inv}
	cmd := &cobra.Command{
		Use:   "enable FILE",
		Short: "Give an application back the grants that disable has kept in a file",
		Args:  theArgs(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := readDisabledFile(args[0])
			if err != nil {
				return err
			}
			var when []string
			if d.ToOrganizations() {
				when = append(when, provision.WhenOrganizations)
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			if err := (&provision.Apps{API: api}).Enable(cmd.Context(), &d); err != nil {
				return err
			}
			fmt.Fprintf(inv.stderr, "%s (%s) is enabled\n", printable(d.Name), printable(d.ClientID))
			return nil
		},
	}
	p.flags(cmd, inv)
	return cmd
}
