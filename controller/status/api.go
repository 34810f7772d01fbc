package status

import (
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// apiRoute is an address of the API that answers JSON. All of them are in
// openapi.yaml, which the tests hold to them.
type apiRoute struct {
	path  string
	takes []string
	// timed says that the answer has ages, or tells the time.
	timed  bool
	answer func(*View, request) (any, error)
}

var api = []apiRoute{
	{"/api/v1/timelines", timelineFilters, false, apiTimelines},
	{"/api/v1/timelines/{id}", nil, false, apiTimeline},
	{"/api/v1/tasks", taskFilters, true, apiTasks},
	{"/api/v1/verdicts", verdictFilters, false, apiVerdicts},
	{"/api/v1/detachments", detachmentFilters, false, apiDetachments},
	{"/api/v1/explain", []string{"of"}, true, apiExplain},
	{"/api/v1/services", serviceFilters, true, apiServices},
	{"/api/v1/status", nil, true, apiStatus},
}

func (a *apiRoute) route() *route {
	rt := &route{path: a.path, takes: a.takes, contentType: jsonType, lasts: forever, validator: byContent}
	if a.timed {
		rt.lasts, rt.validator = 0, byPass
	}
	rt.answer = func(v *View, q request) ([]byte, error) {
		answer, err := a.answer(v, q)
		if err != nil {
			return nil, err
		}
		return encode(answer), nil
	}
	return rt
}

func apiTimelines(v *View, r request) (any, error) {
	q, err := parseQuery(r.values)
	if err != nil {
		return nil, err
	}
	if err := v.known(q.cluster, q.service); err != nil {
		return nil, err
	}
	ts, next := q.page(v)
	records := v.records()
	page := wirePage{Timelines: make([]wireTimeline, len(ts)), NextCursor: optional(next)}
	for i, t := range ts {
		page.Timelines[i] = toWireTimeline(t, records[t.Task])
	}
	return page, nil
}

func apiTimeline(v *View, r request) (any, error) {
	t, err := v.find(r.id)
	if err != nil {
		return nil, err
	}
	return toWireTimeline(t, v.records()[t.Task]), nil
}

var serviceFilters = []string{"cluster", "service", "limit", "cursor"}

func apiServices(v *View, r request) (any, error) {
	cluster, service := r.values["cluster"], r.values["service"]
	p, err := parsePaging(r.values)
	if err != nil {
		return nil, err
	}
	if err := v.known(cluster, service); err != nil {
		return nil, err
	}
	answer := wireServicePage{Services: []wireService{}}
	if v.Snapshot == nil {
		return answer, nil
	}
	selected := slices.DeleteFunc(v.Snapshot.Tally(), func(t fleet.Tally) bool {
		return !selects(cluster, t.Service.ID.Cluster) || !selects(service, t.Service.ID.Name)
	})
	selected, next := pageOf(selected, p, servicePosition)
	answer.At, answer.NextCursor = instant(v.Snapshot.At), optional(next)
	all := v.served()
	for _, t := range selected {
		answer.Services = append(answer.Services, v.toWireService(t, all, r.now))
	}
	return answer, nil
}

// servicePosition is by the cluster's name, then by the service's.
func servicePosition(t fleet.Tally) position {
	id := t.Service.ID
	return position{at: time.Unix(0, 0), id: id.Cluster + "\x00" + id.Name}
}

func (v *View) openByService() map[fleet.ServiceID]int {
	open := make(map[fleet.ServiceID]int)
	for _, t := range v.Open {
		open[t.Service]++
	}
	return open
}

func apiStatus(v *View, r request) (any, error) {
	now := r.now
	ready, why := v.ready(now)
	answer := wireStatus{
		Version: v.Version, Started: instant(v.Started), Now: instant(now),
		Ready: ready, NotReadyReason: optional(why),
		LastFull: instant(v.LastFull), ReadyWithin: seconds(v.ReadyWithin),
		TimelinesOpen: len(v.Open), TimelinesKept: len(v.Closed),
		Usage: []wireUse{}, Acting: v.acting(now), Gaps: []wireGap{},
		Notifications: toWireReceivers(v.Receivers),
	}
	for _, u := range v.Usage {
		if u.Service == (fleet.ServiceID{}) {
			answer.Usage = append(answer.Usage, toWireUse(u))
		}
	}
	if p := v.Pass; !p.At.IsZero() {
		answer.Pass = &wirePass{Number: p.Number, At: instant(p.At), Duration: seconds(p.Duration), Result: p.Result}
	}
	if snap := v.Snapshot; snap != nil {
		ws := wireSnapshot{
			At: instant(snap.At), Age: ageOf(snap, now),
			Clusters: len(snap.Clusters), Services: len(snap.Services),
			TargetGroups: len(snap.TargetGroups), Exposed: len(exposedTasks(snap)),
		}
		for _, t := range snap.Tasks {
			if !t.Gone() {
				ws.Tasks++
			}
		}
		answer.Snapshot = &ws
	}
	for _, g := range v.gaps() {
		answer.Gaps = append(answer.Gaps, wireGap{Kind: g.Kind, Ref: g.Ref, Class: g.Class, Detail: g.Detail, Since: instant(g.Since)})
	}
	return answer, nil
}

// exposedTasks are the tasks of the targets exposed now, one for each target.
func exposedTasks(s *fleet.Snapshot) []fleet.TaskARN {
	var tasks []fleet.TaskARN
	s.Exposed(func(t *fleet.Task, _ *fleet.TargetGroup, _ *fleet.Target) bool {
		tasks = append(tasks, t.ARN)
		return true
	})
	return tasks
}
