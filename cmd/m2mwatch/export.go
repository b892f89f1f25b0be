package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

func newExport(inv *invocation) *cobra.Command {
	var (
		p     = provisioning{inv: inv}
		q     provision.ExportQuery
		file  string
		force bool
	)
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write a tenant's machine identities as machines.yaml, for plan and apply",
		Long: `export reads the M2M applications with their grants, the users that are marked as programmatic
with their roles and permissions, and the roles that these have, and writes them as one YAML file
without any secret. plan of that file proposes nothing. What m2mwatch has not made is named by its
id; put adopt in the place of client_id or user_id to have it marked, and deleted once it is gone
from the file. It tells of applications through which people may sign in: these are not to be adopted.

It takes a call for each user and each role, and for a hundred of anything else.`,
		Example: `  m2mwatch export -o machines.yaml`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file != "" && !force {
				if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("%w: -o %s: it is there already: --force to replace it", errUsage, file)
				}
			}
			var when []string
			if q.Organizations {
				when = append(when, "--organizations")
			}
			api, err := p.begin(cmd, when...)
			if err != nil {
				return err
			}
			bar := newProgress(inv.stderr, "export")
			q.Tenant, q.OnRead = p.domain, reading(bar)
			m, notes, err := provision.Export(cmd.Context(), api, q)
			bar.done()
			if err != nil {
				return err
			}
			for _, note := range notes {
				fmt.Fprintln(inv.stderr, printable(note))
			}
			text, err := m.YAML()
			if err != nil {
				return err
			}
			if file == "" {
				_, err := inv.stdout.Write(text)
				return err
			}
			if err := replaceFile(file, text); err != nil {
				return err
			}
			fmt.Fprintf(inv.stderr, "%s: %d applications, %d users, %d roles\n", file, len(m.Applications), len(m.Users), len(m.Roles))
			return nil
		},
	}
	p.flags(cmd, inv)
	f := cmd.Flags()
	f.StringVarP(&file, "output", "o", "", "the file to write (default: standard output)")
	f.BoolVar(&force, "force", false, "replace the file")
	f.BoolVar(&q.AllRoles, "all-roles", false, "roles that no such user has, too")
	f.BoolVar(&q.Organizations, "organizations", false, "the organizations that grants are open to, too")
	return cmd
}

// reading shows how far a reading is.
func reading(bar *progress) provision.OnProgress {
	return func(what string, done, total int) { bar.show(int64(done), int64(total), what) }
}

// replaceFile writes a file that is never seen half.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // nobody knows it
	}
	return err
}
