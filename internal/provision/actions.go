package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Action is what is read of an Auth0 Action; Raw is all of it, as it was answered,
// which never has the values of its secrets.
type Action struct {
	Raw json.RawMessage `json:"-"`

	ID       string `json:"id"`
	Name     string `json:"name"`
	Code     string `json:"code"`
	Status   string `json:"status"` // of the build: pending, building, built, failed, …
	Triggers []struct {
		ID string `json:"id"`
	} `json:"supported_triggers"`
	AllDeployed bool `json:"all_changes_deployed"`
	Deployed    struct {
		Number int    `json:"number"` // 0 where none is
		Code   string `json:"code"`
	} `json:"deployed_version"`
}

func readAction(raw json.RawMessage) (Action, error) {
	a := Action{Raw: raw}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, fmt.Errorf("read the Action: %w", err)
	}
	return a, nil
}

// Trigger is the one that runs it.
func (a *Action) Trigger() string {
	for _, t := range a.Triggers {
		return t.ID
	}
	return ""
}

// actionMark begins the code of what Deploy has made. Nothing else is changed or
// taken away, whatever its name.
const actionMark = "// Deployed by m2mwatch; `m2mwatch actions remove` takes it away.\n"

// Ours reports whether Deploy has made it.
func (a *Action) Ours() bool { return strings.HasPrefix(a.Code, actionMark) }

// Runs reports whether the version at work is this code.
func (a *Action) Runs(code string) bool {
	return a.AllDeployed && a.Deployed.Number > 0 && a.Code == actionMark+code
}

// ActionName is that of the Action of a trigger.
func ActionName(trigger string) string { return "m2mwatch " + trigger }

// Binding says that a trigger runs an Action. Their order is the one in which they
// run.
type Binding struct {
	ID     string `json:"id"`
	Name   string `json:"display_name"`
	Action struct {
		ID string `json:"id"`
	} `json:"action"`
}

// Actions deploys Actions, and takes away those that it has deployed.
type Actions struct {
	API API
	// Every is how often an Action is looked at that is being built; default 500 ms.
	Every time.Duration
}

// builds bounds how often an Action is looked at until it is built: Auth0 takes
// some seconds.
const builds = 120

// pages reads all of a list of Actions: its API has totals and no parameter that
// asks for them.
func (a *Actions) pages(ctx context.Context, path []string, key string, query url.Values) ([]json.RawMessage, error) {
	const size = 50
	all := []json.RawMessage{}
	q := maps.Clone(query)
	if q == nil {
		q = url.Values{}
	}
	q.Set("per_page", strconv.Itoa(size))
	for page := 0; ; page++ {
		q.Set("page", strconv.Itoa(page))
		raw, err := a.API.Get(ctx, path, q)
		if err != nil {
			return nil, err
		}
		var answer map[string]json.RawMessage
		var some []json.RawMessage
		if err := json.Unmarshal(raw, &answer); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		if err := json.Unmarshal(answer[key], &some); err != nil {
			return nil, fmt.Errorf("read %s: %w", key, err)
		}
		if all = append(all, some...); len(some) < size {
			return all, nil
		}
	}
}

// List reads the Actions of a trigger.
func (a *Actions) List(ctx context.Context, trigger string) ([]Action, error) {
	return a.list(ctx, url.Values{"triggerId": {trigger}})
}

func (a *Actions) list(ctx context.Context, query url.Values) ([]Action, error) {
	raws, err := a.pages(ctx, []string{"actions", "actions"}, "actions", query)
	if err != nil {
		return nil, err
	}
	actions := []Action{}
	for _, raw := range raws {
		action, err := readAction(raw)
		if err != nil {
			return nil, err
		}
		actions = append(actions, action)
	}
	return actions, nil
}

// Bindings are what a trigger runs, in this order.
func (a *Actions) Bindings(ctx context.Context, trigger string) ([]Binding, error) {
	raws, err := a.pages(ctx, []string{"actions", "triggers", trigger, "bindings"}, "bindings", nil)
	if err != nil {
		return nil, err
	}
	return decode[Binding](raws)
}

// Bound reports whether a trigger runs an Action.
func Bound(bindings []Binding, actionID string) bool {
	return slices.ContainsFunc(bindings, func(b Binding) bool { return b.Action.ID == actionID })
}

func (a *Actions) get(ctx context.Context, id string) (Action, error) {
	raw, err := a.API.Get(ctx, []string{"actions", "actions", id}, nil)
	if err != nil {
		return Action{}, fmt.Errorf("Action %s: %w", id, err)
	}
	return readAction(raw)
}

// Find is the Action that Deploy has made for a trigger. One of its name that
// somebody else made is an error.
func (a *Actions) Find(ctx context.Context, trigger string) (Action, error) {
	name := ActionName(trigger)
	all, err := a.list(ctx, url.Values{"actionName": {name}})
	if err != nil {
		return Action{}, err
	}
	for _, action := range all {
		switch {
		case action.Name != name:
		case !action.Ours():
			return Action{}, fmt.Errorf("the Action %q (%s) was not deployed by m2mwatch: give it another name", name, action.ID)
		default:
			return action, nil
		}
	}
	return Action{}, fmt.Errorf("the Action %q: %w", name, ErrNotFound)
}

// NewAction says what to deploy.
type NewAction struct {
	Trigger string
	Code    string            // without secrets
	Secrets map[string]string // by name
}

// String keeps the secrets out of every text.
func (n NewAction) String() string { return "Action for " + n.Trigger }

// GoString keeps them out of %#v.
func (n NewAction) GoString() string { return n.String() }

func (n *NewAction) secrets() []any {
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(n.Secrets)) {
		list = append(list, map[string]any{"name": name, "value": n.Secrets[name]})
	}
	return list
}

// Deploy makes the Action of a trigger or brings it up to date, has it built and
// deployed, and has the trigger run it after what it runs already. It may be called
// again where it was cut short, and does what is missing then; step hears what it
// does.
func (a *Actions) Deploy(ctx context.Context, n NewAction, step func(string)) (Action, error) {
	action, err := a.Find(ctx, n.Trigger)
	switch {
	case err == nil:
		step("changing it")
		action, err = a.change(ctx, action, n)
	case errors.Is(err, ErrNotFound):
		step("making it")
		action, err = a.make(ctx, n)
	}
	if err != nil {
		return action, err
	}
	step("having it built")
	if action, err = a.built(ctx, action.ID); err != nil {
		return action, err
	}
	step("deploying it")
	if action, err = a.deploy(ctx, action.ID, n.Code); err != nil {
		return action, fmt.Errorf("deploy Action %s: %w", action.ID, err)
	}
	step("having the trigger run it")
	if err := a.bind(ctx, n.Trigger, action); err != nil {
		return action, fmt.Errorf("bind Action %s: %w", action.ID, err)
	}
	return action, nil
}

// make makes the Action. Its name is unique.
func (a *Actions) make(ctx context.Context, n NewAction) (Action, error) {
	version, runtime, err := a.trigger(ctx, n.Trigger)
	if err != nil {
		return Action{}, err
	}
	body := map[string]any{
		"name": ActionName(n.Trigger), "code": actionMark + n.Code, "secrets": n.secrets(),
		"supported_triggers": []any{map[string]any{"id": n.Trigger, "version": version}},
	}
	if runtime != "" {
		body["runtime"] = runtime
	}
	raw, err := create(ctx, a.API, []string{"actions", "actions"}, body, func() (json.RawMessage, error) {
		is, err := a.Find(ctx, n.Trigger)
		return is.Raw, err
	})
	if err != nil {
		return Action{}, err
	}
	return readAction(raw)
}

// trigger is the current version of a trigger and the runtime that goes with it.
func (a *Actions) trigger(ctx context.Context, id string) (version, runtime string, err error) {
	raw, err := a.API.Get(ctx, []string{"actions", "triggers"}, nil)
	if err != nil {
		return "", "", err
	}
	var answer struct {
		Triggers []struct {
			ID      string `json:"id"`
			Version string `json:"version"`
			Status  string `json:"status"`
			Runtime string `json:"default_runtime"`
		} `json:"triggers"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return "", "", fmt.Errorf("read the triggers: %w", err)
	}
	for _, t := range answer.Triggers {
		if t.ID == id && strings.EqualFold(t.Status, "current") {
			return t.Version, t.Runtime, nil
		}
	}
	return "", "", fmt.Errorf("trigger %s: %w", id, ErrNotFound)
}

// change gives an Action code and secrets. Whether secrets were changed cannot be
// looked at, so after a lost answer it is done again: the same twice is the same.
func (a *Actions) change(ctx context.Context, is Action, n NewAction) (Action, error) {
	body := map[string]any{"code": actionMark + n.Code, "secrets": n.secrets()}
	var err error
	for range tries {
		var raw json.RawMessage
		if raw, err = a.API.Patch(ctx, []string{"actions", "actions", is.ID}, body); err == nil {
			return readAction(raw)
		}
		if !errors.Is(err, ErrMaybeDone) {
			break
		}
	}
	return is, fmt.Errorf("change Action %s: %w", is.ID, err)
}

// built waits until an Action can be deployed.
func (a *Actions) built(ctx context.Context, id string) (Action, error) {
	return a.until(ctx, id, "is not built", func(is Action) bool { return is.Status == "built" })
}

// until looks at an Action until it is as it should be.
func (a *Actions) until(ctx context.Context, id, lacking string, done func(Action) bool) (Action, error) {
	every := a.Every
	if every <= 0 {
		every = 500 * time.Millisecond
	}
	for range builds {
		is, err := a.get(ctx, id)
		if err != nil || done(is) {
			return is, err
		}
		if is.Status == "failed" {
			return is, fmt.Errorf("Auth0 could not build Action %s: see it in the dashboard", id)
		}
		select {
		case <-ctx.Done():
			return is, ctx.Err()
		case <-time.After(every):
		}
	}
	return Action{ID: id}, fmt.Errorf("Action %s %s after %s: run it again", id, lacking, builds*every)
}

// deploy makes what an Action is the version at work.
func (a *Actions) deploy(ctx context.Context, id, code string) (Action, error) {
	is := Action{ID: id}
	err := settle(func() error {
		_, err := a.API.Post(ctx, []string{"actions", "actions", id, "deploy"}, nil)
		if err == nil { // it is deployed some time after the answer
			is, err = a.until(ctx, id, "is not deployed", func(is Action) bool { return is.Runs(code) })
		}
		return err
	}, func() (left []string, err error) {
		if is, err = a.get(ctx, id); err == nil && !is.Runs(code) {
			left = []string{"its version"}
		}
		return left, err
	})
	return is, err
}

// bind has a trigger run an Action, behind what it runs.
func (a *Actions) bind(ctx context.Context, trigger string, action Action) error {
	return a.rebind(ctx, trigger, func(bindings []Binding) []any {
		if Bound(bindings, action.ID) {
			return nil
		}
		return append(references(bindings), reference("action_id", action.ID, action.Name))
	}, func(bindings []Binding) bool { return Bound(bindings, action.ID) })
}

// unbind has a trigger run an Action no more.
func (a *Actions) unbind(ctx context.Context, trigger string, action Action) error {
	return a.rebind(ctx, trigger, func(bindings []Binding) []any {
		if !Bound(bindings, action.ID) {
			return nil
		}
		return references(slices.DeleteFunc(bindings, func(b Binding) bool { return b.Action.ID == action.ID }))
	}, func(bindings []Binding) bool { return !Bound(bindings, action.ID) })
}

// rebind replaces what a trigger runs: wanted makes it of what it runs, nil where
// nothing is to be done. The API replaces all at once and has no condition, so what
// somebody else binds in the same moment may be lost: it is read right before, and
// looked at after.
func (a *Actions) rebind(ctx context.Context, trigger string, wanted func([]Binding) []any, done func([]Binding) bool) error {
	var others []string
	return settle(func() error {
		bindings, err := a.Bindings(ctx, trigger)
		if err != nil {
			return err
		}
		list := wanted(slices.Clone(bindings))
		if list == nil {
			return nil
		}
		others = nil
		for _, ref := range list {
			if r := ref.(map[string]any)["ref"].(map[string]any); r["type"] == "binding_id" {
				others = append(others, r["value"].(string))
			}
		}
		_, err = a.API.Patch(ctx, []string{"actions", "triggers", trigger, "bindings"}, map[string]any{"bindings": list})
		return err
	}, func() (left []string, err error) {
		bindings, err := a.Bindings(ctx, trigger)
		if err != nil {
			return nil, err
		}
		if !done(bindings) {
			left = append(left, "what "+trigger+" runs")
		}
		for _, id := range others {
			if !slices.ContainsFunc(bindings, func(b Binding) bool { return b.ID == id }) {
				left = append(left, "binding "+id+", which was there before")
			}
		}
		return left, nil
	})
}

func references(bindings []Binding) []any {
	list := []any{}
	for _, b := range bindings {
		list = append(list, reference("binding_id", b.ID, b.Name))
	}
	return list
}

func reference(kind, value, name string) any {
	r := map[string]any{"ref": map[string]any{"type": kind, "value": value}}
	if name != "" {
		r["display_name"] = name
	}
	return r
}

// Remove has a trigger run the Action no more that Deploy has made, and deletes it.
// It may be called again where it was cut short.
func (a *Actions) Remove(ctx context.Context, action Action) error {
	if !action.Ours() {
		return fmt.Errorf("Action %s was not deployed by m2mwatch", action.ID)
	}
	if err := a.unbind(ctx, action.Trigger(), action); err != nil {
		return fmt.Errorf("unbind Action %s: %w", action.ID, err)
	}
	return remove(ctx, a.API, "Action "+action.ID, []string{"actions", "actions", action.ID})
}
