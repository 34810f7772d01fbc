package status

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/policy"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// servicesShown is how many services a page has.
const servicesShown = 100

// servicesPage is the page of services.
type servicesPage struct {
	Head     head
	Cluster  string
	Service  string
	Rows     []serviceRow
	Count    int // selected, on all pages
	Known    bool
	Page     int
	Pages    int
	Previous string // links; empty where there is no such page
	Next     string
}

type serviceRow struct {
	Name    string
	Mode    policy.Mode
	Tasks   string
	Wanted  string
	Groups  []groupRow
	Exposed int
	Failing bool
	Open    int
	Age     string

	Kind   string // how it is scheduled and deployed
	Routed bool   // a gateway of ECS's sends traffic to it
	GiveUp string // when ECS gives a deployment up; empty when it does not
	Closed int
	Link   string // to its timelines
	Used   []string
	Brakes []string // that it is paused, or latched
	Last   string   // how its newest closed timeline ended, and when
	LastAt string   // the timeline's address; empty without one
	OpenAt string   // address of its open ones
	ModeBy string   // what gave it its mode
	Limits []limitRow
}

// limitRow is a limit in force, where it is from and what is used of it.
type limitRow struct{ Name, Value, From, Used string }

type groupRow struct {
	Name    string
	Targets string
	Age     string
}

func services(v *View, r request) (any, error) {
	cluster, service := r.values["cluster"], r.values["service"]
	if err := v.known(cluster, service); err != nil {
		return nil, err
	}
	page, err := pageNumber(r.values["page"])
	if err != nil {
		return nil, err
	}
	p := newServicesPage(v, cluster, service, page, r.now)
	if page > p.Pages {
		return nil, badPage(p.Pages, r.values["page"])
	}
	return p, nil
}

// pageNumber reads the parameter page, which begins with 1.
func pageNumber(value string) (int, error) {
	if value == "" {
		return 1, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("page: must be a number from 1 (got %q)", clip(value))
	}
	return n, nil
}

func badPage(pages int, got string) error {
	return fmt.Errorf("page: must be 1..%d, for there is no more (got %q)", pages, clip(got))
}

func newServicesPage(v *View, cluster, service string, page int, now time.Time) *servicesPage {
	p := &servicesPage{Head: newHead(v, "Services", "/services", now), Cluster: cluster, Service: service, Known: v.Snapshot != nil, Pages: 1, Page: 1}
	if !p.Known {
		return p
	}
	tallies := v.tallies(cluster, service)
	p.Count = len(tallies)
	p.Pages = max(1, (len(tallies)+servicesShown-1)/servicesShown)
	p.Page = min(page, p.Pages)
	turn := func(n int) string {
		values := url.Values{"page": {strconv.Itoa(n)}}
		if cluster != "" {
			values.Set("cluster", cluster)
		}
		if service != "" {
			values.Set("service", service)
		}
		return "/services?" + values.Encode()
	}
	if p.Page > 1 {
		p.Previous = turn(p.Page - 1)
	}
	if p.Page < p.Pages {
		p.Next = turn(p.Page + 1)
	}
	first := (p.Page - 1) * servicesShown
	p.Rows = newServiceRows(v, tallies[first:min(len(tallies), first+servicesShown)], now)
	return p
}

// tallies are of the selected services, those in trouble first: there may be
// more than a page shows.
func (v *View) tallies(cluster, service string) []fleet.Tally {
	open := v.openByService()
	tallies := slices.DeleteFunc(v.Snapshot.Tally(), func(t fleet.Tally) bool {
		return !selects(cluster, t.Service.ID.Cluster) || !selects(service, t.Service.ID.Name)
	})
	trouble := func(t *fleet.Tally) int {
		return -(t.Exposed()*1_000_000 + (open[t.Service.ID]+t.Unhealthy)*1_000)
	}
	slices.SortStableFunc(tallies, func(a, b fleet.Tally) int { return cmp.Compare(trouble(&a), trouble(&b)) })
	return tallies
}

func newServiceRows(v *View, tallies []fleet.Tally, now time.Time) []serviceRow {
	open, closed := v.openByService(), make(map[fleet.ServiceID]int)
	for _, t := range v.Closed {
		closed[t.Service]++
	}
	newest := make(map[fleet.ServiceID]*timeline.Timeline)
	for _, t := range v.Closed { // newest first
		if newest[t.Service] == nil {
			newest[t.Service] = t
		}
	}
	used := make(map[fleet.ServiceID][]policy.Use)
	for _, u := range v.Usage {
		used[u.Service] = append(used[u.Service], u)
	}
	rows := make([]serviceRow, 0, len(tallies))
	for _, t := range tallies {
		id := t.Service.ID
		row := serviceRow{
			Name: id.String(), Mode: v.mode(id), Wanted: fmt.Sprintf("%d wanted", t.Service.Desired),
			Tasks: "never read", Age: "–",
			Exposed: t.Exposed(), Failing: t.Unhealthy > 0, Open: open[id], Closed: closed[id],
			Kind: t.Service.Scheduling + ", " + t.Service.Controller, GiveUp: breakerWords(t.Service),
			Routed: t.Service.Gateway == fleet.GatewayConnected,
			Link:   "/timelines?" + url.Values{"cluster": {id.Cluster}, "service": {id.Name}}.Encode(),
		}
		if t.Seen {
			row.Tasks = tallied(tallyPart{t.Healthy, "healthy"}, tallyPart{t.Unhealthy, "unhealthy"}, tallyPart{t.Unknown, "unknown"})
		}
		if !t.Read.Never() {
			row.Age = wholeAgo(t.Read.Sent, now)
		}
		for _, g := range t.Groups {
			row.Groups = append(row.Groups, newGroupRow(g, now))
		}
		for _, u := range used[id] {
			if u.Name == string(policy.Budget) || u.Name == string(policy.Floor) { // what is looked for first
				row.Used = append(row.Used, useWords(u))
			}
		}
		if last := newest[id]; last != nil {
			row.Last, row.LastAt = string(last.Outcome)+" "+wholeAgo(last.Closed, now)+" ago", timelineLink(last)
		}
		row.OpenAt = row.Link + "&state=open"
		row.Brakes = v.brakesOn(id, now)
		row.addLimits(v, &t, used[id], now)
		rows = append(rows, row)
	}
	return rows
}

// breakerWords is when ECS gives a deployment of the service up.
func breakerWords(svc *fleet.Service) string {
	b := svc.Breaker
	if !b.Enabled {
		return ""
	}
	said, n := "ECS gives a deployment up after ", b.Threshold(svc.Desired)
	switch {
	case n == 0:
		said += "too many failed tasks"
	case b.Resets && n > 1:
		said += count(n, "failed task", "failed tasks") + " in a row"
	case n > 1:
		said += count(n, "failed task", "failed tasks") + " in all"
	default:
		said += "1 failed task"
	}
	if b.Rollback {
		said += ", and rolls back"
	}
	return said
}

// What gave a service a setting.
const (
	fromDefault = "default"
	fromFile    = "configuration" // the file or a flag, for all services
	fromTag     = "tag " + policy.ModeTag
)

// addLimits says which limits are in force and where each is from: one that a
// rule of the configuration changes is from that rule, one that the
// configuration changes for all from there. Told by their values, so that a
// default that is written down is still called the default.
func (row *serviceRow) addLimits(v *View, t *fleet.Tally, uses []policy.Use, now time.Time) {
	svc := t.Service
	_, rule := v.origins(svc)
	if v.LimitsOf == nil {
		return
	}
	from := func(value, base, usual string) string {
		switch {
		case value != base && rule != "":
			return fromFile + ", " + rule
		case base != usual:
			return fromFile
		default:
			return fromDefault
		}
	}
	limits := v.LimitsOf(svc.ID)
	row.ModeBy = from(string(limits.Mode), string(v.Base.Mode), string(policy.Observing))
	if _, ok := svc.Tags[policy.ModeTag]; ok {
		row.ModeBy = fromTag
	}
	used := v.usedOf(limits, t, uses, now)
	base, usual := limitFacts(v.Base), limitFacts(policy.DefaultLimits())
	for i, f := range limitFacts(limits) {
		row.Limits = append(row.Limits, limitRow{f.Name, f.Value, from(f.Value, base[i].Value, usual[i].Value), used[f.Name]})
	}
}

// usedOf is what is used of a service's limits now, by the names of limitFacts. What
// a limit allows one task or one target alone is with its verdict.
func (v *View) usedOf(l policy.Limits, t *fleet.Tally, uses []policy.Use, now time.Time) map[string]string {
	used := make(map[string]string)
	for _, u := range uses {
		name := u.Name
		if name == string(policy.Budget) {
			name = budgetOfService
		}
		_, used[name], _ = strings.Cut(useWords(u), ": ")
	}
	if !v.Began.IsZero() {
		used[string(policy.Startup)] = "over"
		if end := v.Began.Add(l.Startup); end.After(now) {
			used[string(policy.Startup)] = "until " + stampOf(end, now).Text + " UTC"
		}
	}
	var ages []string
	if !t.Read.Never() {
		ages = append(ages, "tasks "+wholeAgo(t.Read.Sent, now))
	}
	var oldest fleet.Read
	for _, g := range t.Groups {
		if !g.Read.Never() && (oldest.Never() || g.Read.Sent.Before(oldest.Sent)) {
			oldest = g.Read
		}
	}
	if !oldest.Never() {
		ages = append(ages, "targets "+wholeAgo(oldest.Sent, now))
	}
	used[string(policy.Stale)] = strings.Join(ages, ", ")
	if t.Seen {
		used[string(policy.Correlated)] = fmt.Sprintf("%d of %s UNHEALTHY", t.Unhealthy, count(t.Healthy+t.Unhealthy+t.Unknown, "task", "tasks"))
	}
	return used
}

// origins are what gave a service its mode and its limits: a tag, a rule of the
// configuration, or default; empty when it is not known.
func (v *View) origins(svc *fleet.Service) (mode, limits string) {
	if v.RuleOf != nil {
		limits = v.RuleOf(svc.ID)
	}
	if _, ok := svc.Tags[policy.ModeTag]; ok {
		return fromTag, limits
	}
	return limits, limits
}

// brakesOn is what keeps castoff from acting on a service.
func (v *View) brakesOn(id fleet.ServiceID, now time.Time) []string {
	var all []string
	for _, p := range v.pauses(now) {
		if p.Scope == policy.ScopeService && p.Service != id || p.Scope == policy.ScopeCluster && p.Service.Cluster != id.Cluster {
			continue
		}
		said := "paused"
		if !p.Until.IsZero() {
			said += " until " + stampOf(p.Until, now).Text
		}
		if p.From != "" {
			said += ", by " + string(p.From)
		}
		all = append(all, said)
	}
	for _, l := range v.Latches {
		if l.Service == id || l.Service == (fleet.ServiceID{}) {
			all = append(all, "latched until "+stampOf(l.Until, now).Text)
		}
	}
	return all
}

// useWords is "budget: 0 of 1 out".
func useWords(u policy.Use) string {
	of := fmt.Sprintf("%s: %d of %d ", u.Name, u.Used, u.Limit)
	switch policy.Guard(u.Name) {
	case policy.Floor:
		return fmt.Sprintf("floor: %d healthy, at least %d", u.Used, u.Limit)
	case policy.Rate:
		return of + "taken, more come back"
	case policy.Futile:
		return of + "failed"
	case policy.Contested:
		return of + "made"
	default:
		return of + "out"
	}
}

const budgetOfService = "budget of the service"

// limitFacts are a service's limits under the names that the configuration has
// for them.
func limitFacts(l policy.Limits) []fact {
	yes := map[bool]string{true: "yes", false: "no"}
	share := func(n int, p float64) string { return fmt.Sprintf("%d or %g %%, the stricter", n, p) }
	allowance := func(a policy.Allowance) string {
		return fmt.Sprintf("%g %%, at least %d, at most %d", a.Percent, a.Least, a.Most)
	}
	return []fact{
		{"startup", span(l.Startup)},
		{"stale", fmt.Sprintf("tasks %s, targets %s, inventory %s", span(l.Stale.Tasks), span(l.Stale.Targets), span(l.Stale.Inventory))},
		{"confirm", fmt.Sprintf("%s in a row, for %s", count(l.Confirm.Reads, "read", "reads"), span(l.Confirm.For))},
		{"during deployment", yes[l.DuringDeployment]},
		{"floor", share(l.Floor.Count, l.Floor.Percent)},
		{"correlated", fmt.Sprintf("%d and %g %%, cooldown %s", l.Correlated.Count, l.Correlated.Percent, span(l.Correlated.Cooldown))},
		{budgetOfService, allowance(l.Budget.Service)},
		{"budget of a group", allowance(l.Budget.Group)},
		{"rate", fmt.Sprintf("%g a minute, %d at once", l.Rate.PerMinute, l.Rate.Burst)},
		{"futile", fmt.Sprintf("%s failed within %s", count(l.Futile.Replacements, "replacement", "replacements"), span(l.Futile.Window))},
		{"contested", fmt.Sprintf("%s, %s apart and more", count(l.Contested.Tries, "try", "tries"), span(l.Contested.Spacing))},
		{"recovery", fmt.Sprintf("healthy for %s, times %g for each flap, at most %s", span(l.Recovery.Window), l.Recovery.Growth, span(l.Recovery.Max))},
	}
}

func newGroupRow(g fleet.GroupTally, now time.Time) groupRow {
	row := groupRow{Name: g.Group.Name(), Targets: "never read", Age: "–"}
	if g.Read.Never() {
		return row
	}
	var parts []tallyPart
	for _, state := range []fleet.TargetState{
		fleet.TargetHealthy, fleet.TargetUnhealthy, fleet.TargetUnhealthyDraining, fleet.TargetDraining,
		fleet.TargetInitial, fleet.TargetUnavailable, fleet.TargetUnused, fleet.TargetOther,
	} {
		parts = append(parts, tallyPart{g.States[state], string(state)})
	}
	row.Targets, row.Age = tallied(parts...), wholeAgo(g.Read.Sent, now)
	return row
}
