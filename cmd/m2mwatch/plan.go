package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/m2mwatch/m2mwatch/internal/provision"
)

// exitDiffers is what plan --detailed-exitcode ends with where there is something to
// do: not 2, as Terraform's, which a mistake in calling ends with here.
const exitDiffers = 3

// errDiffers has run end with exitDiffers.
var errDiffers = errors.New("there is something to do")

// machinesFile is the flag that names machines.yaml.
type machinesFile struct {
	path string
	any  bool
}

func (f *machinesFile) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.path, "file", "f", "", "the file with the wanted machine identities (machines.yaml)")
	cmd.Flags().BoolVar(&f.any, "any", false, "adopt and delete applications through which people sign in, too, and users that are not marked as programmatic")
}

// read reads it, and refuses that of another tenant.
func (f *machinesFile) read(domain string) (*provision.Machines, error) {
	if f.path == "" {
		return nil, fmt.Errorf("%w: want --file, the wanted machine identities (m2mwatch export writes today's)", errUsage)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	m, err := provision.ReadMachines(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	if m.Tenant != "" && !strings.EqualFold(m.Tenant, domain) {
		return nil, fmt.Errorf("%s is of the tenant %s, and this is %s", f.path, m.Tenant, domain)
	}
	return m, nil
}

func newPlan(inv *invocation) *cobra.Command {
	var (
		p                   = provisioning{inv: inv}
		file                machinesFile
		asJSON, asTerraform bool
		detailed            bool
	)
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print the difference between machines.yaml and a tenant",
		Long: `plan reads what the file speaks of at the tenant and prints what apply would create, change field
by field, and delete. What the file leaves out is left as it is. To be deleted is proposed for
what apply has made or adopted, which has the file's key at the tenant, and is not in the file any
more; roles never are. What is named and is not there, an API, a scope, a role, is an error; so is to adopt or delete what may be
people's, without --any. What the file says under expect is compared with what the running instance
has, which reads it; nothing of it goes to Auth0.

With --terraform it prints what is to be created and changed as resources of the provider auth0/auth0.`,
		Example: `  m2mwatch plan -f machines.yaml`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := file.read(p.domain)
			if err != nil {
				return err
			}
			api, err := p.begin(cmd, m.Needs()...)
			if err != nil {
				return err
			}
			plan, err := file.plan(cmd, inv, api, m)
			if err != nil {
				return fmt.Errorf("%s: %w", file.path, err)
			}
			x, err := newExpecting(cmd.Context(), inv, p.domain, plan)
			if err != nil { // what there is at the tenant is told all the same
				fmt.Fprintln(inv.stderr, err)
			}
			defer x.close()
			switch {
			case asJSON:
				err = inv.printJSON(plan)
			case asTerraform:
				err = plan.Terraform(inv.stdout)
			default:
				err = errors.Join(writePlan(inv.stdout, plan), x.write(inv.stdout))
			}
			fmt.Fprintln(inv.stderr, summary(plan, x))
			if err == nil && detailed && (!plan.Empty() || x.count() > 0) {
				return errDiffers
			}
			return err
		},
	}
	p.flags(cmd, inv)
	file.flags(cmd)
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "JSON: changes, each with action, kind, key, id and fields")
	f.BoolVar(&asTerraform, "terraform", false, "HCL for Terraform")
	f.BoolVar(&detailed, "detailed-exitcode", false, fmt.Sprintf("end with %d where there is something to do", exitDiffers))
	cmd.MarkFlagsMutuallyExclusive("json", "terraform")
	return cmd
}

// plan makes a plan, and shows how far it is.
func (f *machinesFile) plan(cmd *cobra.Command, inv *invocation, api provision.API, m *provision.Machines) (*provision.Plan, error) {
	bar := newProgress(inv.stderr, "plan")
	defer bar.done()
	return (&provision.Planner{API: api, Any: f.any, OnRead: reading(bar)}).Plan(cmd.Context(), m)
}

// summary counts a plan in one line.
func summary(p *provision.Plan, x *expecting) string {
	if p.Empty() && x.count() == 0 {
		return "nothing to do"
	}
	text := fmt.Sprintf("%d to create, %d to change, %d to delete", p.Count(provision.ActionCreate), p.Count(provision.ActionChange), p.Count(provision.ActionDelete))
	if n := x.count(); n > 0 {
		text += fmt.Sprintf(", %d to be expected otherwise", n)
	}
	if n := len(p.Leftovers); n > 0 {
		text += fmt.Sprintf(", %d left by an apply that was cut short", n)
	}
	return text
}

// writePlan writes a plan for people.
func writePlan(w io.Writer, p *provision.Plan) error {
	var b strings.Builder
	signs := map[string]string{provision.ActionCreate: "+", provision.ActionChange: "~", provision.ActionDelete: "-"}
	for _, c := range p.Changes {
		fmt.Fprintln(&b, signs[c.Action], printable(changeTitle(c)))
		for _, f := range c.Fields {
			writeField(&b, c.Action, f)
		}
	}
	for _, h := range p.Held {
		fmt.Fprintf(&b, "! application %s (%s): disabled since %s, so its grants are left as they are; apps enable gives them back\n", printable(h.Key), printable(h.ID), printable(h.Since))
	}
	for _, l := range p.Leftovers {
		fmt.Fprintf(&b, "- application %s (%s): left by an apply that was cut short, used by nobody\n", printable(l.Key), printable(l.ID))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// changeTitle names what a change is of.
func changeTitle(c *provision.Change) string {
	title := c.Kind + " " + c.Key
	var more []string
	for _, text := range []string{c.Name, c.ID} {
		if text != "" && text != c.Key {
			more = append(more, text)
		}
	}
	if len(more) > 0 {
		title += " (" + strings.Join(more, ", ") + ")"
	}
	return title
}

func writeField(b *strings.Builder, action string, f provision.Field) {
	for _, text := range f.Add {
		fmt.Fprintf(b, "    + %s: %s\n", printable(f.Name), printable(text))
	}
	for _, text := range f.Remove {
		fmt.Fprintf(b, "    - %s: %s\n", printable(f.Name), printable(text))
	}
	switch {
	case len(f.Add)+len(f.Remove) > 0:
	case action == provision.ActionCreate:
		fmt.Fprintf(b, "    %s: %s\n", printable(f.Name), fieldValue(f.To))
	default:
		fmt.Fprintf(b, "    %s: %s → %s\n", printable(f.Name), fieldValue(f.From), fieldValue(f.To))
	}
}

// fieldValue is a value as JSON, or that there is none.
func fieldValue(value any) string {
	if value == nil {
		return "none"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return "?" // never: it is of JSON's own types
	}
	return printable(strings.TrimSpace(b.String()))
}
