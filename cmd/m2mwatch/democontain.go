package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/m2mwatch/m2mwatch/internal/apiclient"
	"github.com/m2mwatch/m2mwatch/schemas"
)

// invite tells the reader how the story's client is contained, and the end of the
// story when the tenant's log says that they have done it.
func (d *demo) invite(ctx context.Context, simulated string) error {
	grants, err := d.grants(ctx, simulated)
	if err != nil {
		return err
	}
	d.say.line("   contain   . %s; %s apps disable %s", d.operatorFile(), d.inv.name, d.sim.Story().ClientID())
	d.say.line("   stop      Ctrl-C; the data stays in %s", d.inv.data)
	if len(grants) == 0 {
		return nil // disabled already
	}
	d.server.life.run("the story's end", func(ctx context.Context) error { return ignoreCanceled(d.contained(ctx, grants)) })
	return nil
}

// grants are the paths of those that the story's client has.
func (d *demo) grants(ctx context.Context, simulated string) ([]string, error) {
	query := url.Values{"client_id": {d.sim.Story().ClientID()}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, simulated+"/api/v2/client-grants?"+query.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the story's grants: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+d.sim.AdminToken())
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask for the story's grants: %w", err)
	}
	defer response.Body.Close()
	var grants []struct{ ID string }
	if err := json.NewDecoder(response.Body).Decode(&grants); err != nil {
		return nil, fmt.Errorf("read the story's grants: %w", err)
	}
	var paths []string
	for _, g := range grants {
		paths = append(paths, "/api/v2/client-grants/"+g.ID)
	}
	return paths, nil
}

// contained waits until all of the grants were taken away, as the stored events
// have it, and tells so.
func (d *demo) contained(ctx context.Context, grants []string) error {
	var last *schemas.EventView
	err := d.poll(ctx, func() (bool, error) {
		page, err := d.client.Events(ctx, apiclient.EventQuery{Where: map[string]string{"tenant": demoTenant, "type": "sapi", "client_id": d.operator}, Limit: 100})
		if err != nil {
			return false, err
		}
		left := slices.Clone(grants)
		for i := range page.Events {
			e := &page.Events[i]
			if at := slices.Index(left, e.Path); e.Method == http.MethodDelete && at >= 0 {
				left = slices.Delete(left, at, at+1)
				last = e
			}
		}
		return len(left) == 0, nil
	})
	if err != nil {
		return err
	}
	d.say.line("%s  %s is disabled, by you: %s %s in the tenant's log; it gets no more tokens", hour(last.Time), d.sim.Story().ClientName(), last.Method, last.Path)
	d.say.line("   undo      %s apps enable FILE, the one that apps disable wrote", d.inv.name)
	<-ctx.Done() // the demo lives on
	return nil
}
