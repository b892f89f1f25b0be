package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/internal/provision"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// expecting is what a file declares to be normal and the running instance does not
// have like that yet. Of a file that declares nothing it is nil: then there need be no
// instance. Its methods may be called on nil.
type expecting struct {
	client *apiclient.Client
	domain string
	todo   []provision.Expected
	was    map[string]schemas.Expect // by identity
}

// newExpecting compares a plan with what the instance has that watches the tenant.
func newExpecting(ctx context.Context, inv *invocation, domain string, plan *provision.Plan) (*expecting, error) {
	if len(plan.Expected) == 0 {
		return nil, nil
	}
	x := &expecting{domain: domain, was: map[string]schemas.Expect{}, todo: plan.Expected}
	var err error
	switch x.client, err = inv.journalClient(domain); {
	case err != nil:
		return x, fmt.Errorf("expect is declared to the running instance: %w", err)
	case x.client == nil:
		return x, errors.New("expect is declared to the running instance: name it by M2MWATCH_URL or --data")
	}
	list, err := x.client.Expectations(ctx, domain)
	if err != nil {
		x.close()
		return x, fmt.Errorf("expect is declared to the running instance: %w", err)
	}
	for _, e := range list {
		x.was[e.Identity] = e.Expect
	}
	x.todo = slices.DeleteFunc(slices.Clone(plan.Expected), func(e provision.Expected) bool {
		was := x.was[e.Identity()]
		return e.Expect.Empty() && was.Empty() || reflect.DeepEqual(normal(was), normal(e.Expect))
	})
	return x, nil
}

// normal has no empty lists, which say the same as none.
func normal(e schemas.Expect) schemas.Expect {
	for _, list := range []*[]string{&e.Networks, &e.Clouds, &e.Runtimes} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return e
}

func (x *expecting) close() {
	if x != nil && x.client != nil {
		x.client.Close()
	}
}

// count is of how many identities something else is to be expected.
func (x *expecting) count() int {
	if x == nil {
		return 0
	}
	return len(x.todo)
}

// write writes what will be expected, for people.
func (x *expecting) write(w io.Writer) error {
	if x == nil {
		return nil
	}
	var b strings.Builder
	for _, e := range x.todo {
		was := x.was[e.Identity()]
		fmt.Fprintf(&b, "~ expect of %s %s\n", e.Kind, printable(e.Key))
		before, after := was.Lines(), e.Expect.Lines()
		for _, line := range before {
			if !slices.Contains(after, line) {
				fmt.Fprintf(&b, "    - %s\n", printable(line))
			}
		}
		for _, line := range after {
			if !slices.Contains(before, line) {
				fmt.Fprintf(&b, "    + %s\n", printable(line))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// declare declares it, with the ids of what was made meanwhile.
func (x *expecting) declare(ctx context.Context, made func(kind, key string) string) error {
	if x.count() == 0 {
		return nil
	}
	var list []schemas.DeclaredExpectation
	for _, e := range x.todo {
		if e.ID == "" {
			e.ID = made(e.Kind, e.Key)
		}
		if e.ID == "" {
			return fmt.Errorf("nothing was declared to be expected: %s %s has no id yet; run apply again", e.Kind, e.Key)
		}
		list = append(list, schemas.DeclaredExpectation{Identity: e.Identity(), Expect: e.Expect})
	}
	for part := range slices.Chunk(list, apiclient.MaxDeclared) {
		if _, err := x.client.Declare(ctx, schemas.Declaration{Domain: x.domain, Expectations: part}); err != nil {
			return fmt.Errorf("declare what is to be expected: %w", err)
		}
	}
	return nil
}
