package processor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/m2mwatch/m2mwatch/schemas"
)

// settle gives findings the state that people and time have made of them, decides
// who is told, and applies it all.
func (c *Correlator) settle(ctx context.Context, p *pager, changes []change) error {
	if !p.tick && !slices.ContainsFunc(changes, func(ch change) bool { return ch.kind != "" || ch.acted || ch.waits() }) {
		return nil
	}
	acts, err := c.actsOf(ctx, p, changes)
	if err != nil {
		return err
	}
	p.live(changes, acts)
	if len(p.quiet) > 0 { // before the findings are resolved: else an ack would hold when they begin again
		if err := c.cfg.Store.InsertFindingActs(ctx, p.quiet); err != nil {
			return fmt.Errorf("record that nobody looks after findings any more: %w", err)
		}
	}
	if slices.ContainsFunc(changes, foundByRepair) { // looks that go on beside one another tell of an identity once
		c.telling.Lock()
		defer c.telling.Unlock()
	}
	if err := c.inform(ctx, p, changes); err != nil {
		return err
	}
	return c.apply(ctx, p.decide(changes), p.now)
}

func foundByRepair(ch change) bool { return ch.kind != "" && ch.finding.Source == schemas.SourceRepair }

// waits reports whether what people are told of a finding depends on more than it.
func (ch *change) waits() bool {
	return ch.finding.State == schemas.StateOpen && (ch.held() || ch.was.Paging == schemas.PagingContinued)
}

// held reports whether time alone may end what held the page of a finding back.
func (ch *change) held() bool {
	switch ch.was.Paging {
	case schemas.PagingWarming, schemas.PagingHeld, schemas.PagingSilenced, schemas.PagingStorm:
		return true
	}
	return false
}

// actsOf are the acts that count, by finding. One that is open and of which nobody
// did anything now has none that would change that.
func (c *Correlator) actsOf(ctx context.Context, p *pager, changes []change) (map[string][]schemas.FindingAct, error) {
	var ids []string
	for i := range changes {
		if p.concerned(&changes[i]) {
			ids = append(ids, changes[i].was.ID)
		}
	}
	acts, err := c.cfg.Store.Acts(ctx, p.tenant, ids)
	if err != nil {
		return nil, fmt.Errorf("read the acts: %w", err)
	}
	by := map[string][]schemas.FindingAct{}
	for _, a := range acts {
		by[a.FindingID] = append(by[a.FindingID], a)
	}
	return by, nil
}

// concerned reports whether acts or time may make another state of a finding.
func (p *pager) concerned(ch *change) bool {
	return ch.was.Changes > 0 && ch.finding.State != schemas.StateWithdrawn &&
		(ch.acted || p.tick && ch.was.State.Stands() || ch.kind != "" && ch.was.State != schemas.StateOpen)
}

// live says what state findings that hold are in: what the acts say, and on a tick
// that they are over where nothing has happened for a while. It is a function of the
// events, the acts and the clock, so that no order of them matters. Of findings of one
// attack none is over before the others.
func (p *pager) live(changes []change, acts map[string][]schemas.FindingAct) {
	sortChanges(changes)
	for group := range p.groups(changes) {
		var active time.Time
		for i := range group {
			active = latest(active, group[i].finding.Last, group[i].finding.FoundAt)
		}
		for i := range group {
			if p.concerned(&group[i]) {
				p.liveOne(&group[i], acts[group[i].was.ID], active)
			}
		}
	}
}

func (p *pager) liveOne(ch *change, acts []schemas.FindingAct, active time.Time) {
	f, was := &ch.finding, ch.was.State
	state, reopened := schemas.Acted(acts, f.Last)
	reason := schemas.Reason("")
	if ch.acted {
		reason = schemas.ReasonAct
	}
	goesOn := p.rule != nil && p.rule.GoesOn(f.Evidence.Facts)
	over := !goesOn && !p.now.Before(latest(active, reopened).Add(p.over))
	if state.Stands() && over && (p.tick || was == schemas.StateResolved) {
		if state == schemas.StateAcknowledged {
			p.quiet = append(p.quiet, quietAct(f, acts, latest(active, reopened).Add(p.over)))
		}
		state, reason = schemas.StateResolved, schemas.ReasonQuiet
	}
	f.State = state
	if ch.kind == changeOpened || state == was {
		return
	}
	f.Changes++
	f.Ver, ch.reason = p.ver, reason
	ch.kind = map[schemas.State]string{
		schemas.StateOpen: changeReopened, schemas.StateAcknowledged: changeAcknowledged, schemas.StateResolved: changeResolved,
	}[state]
}

// quietAct says that a finding was over at a time, behind all that people did about it.
// It follows from what is stored alone, so that a repeat is the same row.
func quietAct(f *schemas.Finding, acts []schemas.FindingAct, at time.Time) schemas.FindingAct {
	for i := range acts {
		at = latest(at, acts[i].At.Add(time.Millisecond))
	}
	return schemas.FindingAct{
		ID: fmt.Sprintf("quiet-%d", at.UnixMilli()), At: at, Act: schemas.ActQuiet, Who: "m2mwatch", Reason: "nothing of it had happened for a while",
		FindingID: f.ID, Tenant: f.Tenant, RuleID: f.RuleID, Key: f.Key, Period: f.Period,
	}
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// heldFor is how long after people were told of an identity, when a gap was closed,
// they are not told of it again for what the same gap hid.
const heldFor = 24 * time.Hour

// inform reads what decisions depend on beside the findings: what is learned and
// expected, silences, and who was told of lately because a gap was closed.
func (c *Correlator) inform(ctx context.Context, p *pager, changes []change) error {
	var late []string
	asks := false
	for i := range changes {
		f := &changes[i].finding
		asks = asks || f.State == schemas.StateOpen && (changes[i].kind != "" || changes[i].waits())
		if changes[i].kind != "" && f.Source == schemas.SourceRepair && f.Identity != "" {
			late = append(late, f.Identity)
		}
	}
	if !asks {
		return nil
	}
	var err error
	if p.rule != nil {
		p.warming = c.isWarming(p.rule)
		if p.around, err = c.circumstances(ctx, p.rule, changes, p.now); err != nil {
			return err
		}
	}
	if p.silences, err = c.cfg.Store.Silences(ctx, p.now); err != nil {
		return fmt.Errorf("read the silences: %w", err)
	}
	if slices.ContainsFunc(p.silences, func(s schemas.Silence) bool { return s.Owner != "" }) {
		if p.owners, err = c.cfg.Store.Owners(ctx, p.tenant, identitiesOf(changes)); err != nil {
			return fmt.Errorf("read the owners of identities: %w", err)
		}
	}
	if len(late) == 0 {
		return nil
	}
	told, err := c.cfg.Store.FoundLate(ctx, p.tenant, late, p.now.Add(-heldFor))
	if err != nil {
		return fmt.Errorf("read what was found late: %w", err)
	}
	for _, identity := range told {
		p.late[identity] = true
	}
	return nil
}

// identitiesOf are those of findings, each once.
func identitiesOf(changes []change) []string {
	var ids []string
	for i := range changes {
		if id := changes[i].finding.Identity; id != "" {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// acted are the findings, by tenant, that people did something about.
func acted(touches []schemas.Touch) map[string][]string {
	by := map[string][]string{}
	for i := range touches {
		if t := &touches[i]; t.Selector == schemas.SelectorActs {
			by[t.Tenant] = append(by[t.Tenant], t.Key)
		}
	}
	return by
}

// act carries out what people did about findings of a tenant. It needs no rule: that
// may be gone, or the ground of the finding expired.
func (c *Correlator) act(ctx context.Context, tenant string, ids []string, v *versions) error {
	ver := v.next()
	findings, err := c.cfg.Store.ActedFindings(ctx, tenant, ids)
	if err != nil {
		return fmt.Errorf("read the findings: %w", err)
	}
	now := c.cfg.Now().UTC().Truncate(time.Millisecond)
	for _, some := range byRule(findings) {
		changes := make([]change, len(some))
		for i, f := range some {
			changes[i] = change{was: f, finding: f, acted: true}
		}
		if err := c.settle(ctx, newPager(tenant, c.rule(some[0].RuleID), now, ver), changes); err != nil {
			return err
		}
	}
	return nil
}

// byRule cuts findings into those of one rule each.
func byRule(findings []schemas.Finding) map[string][]schemas.Finding {
	by := map[string][]schemas.Finding{}
	for _, f := range findings {
		by[f.RuleID] = append(by[f.RuleID], f)
	}
	return by
}
