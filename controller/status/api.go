package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

func (s *server) apiTimelines(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "invalid_query", err.Error())
		return
	}
	v := s.view()
	ts, next := q.page(v)
	records := v.records()
	page := wirePage{Timelines: make([]wireTimeline, len(ts)), NextCursor: optional(next)}
	for i, t := range ts {
		page.Timelines[i] = toWireTimeline(t, records[t.Task])
	}
	writeJSON(w, r, http.StatusOK, page)
}

func (s *server) apiTimeline(w http.ResponseWriter, r *http.Request) {
	if _, err := parseValues(r.URL.RawQuery, nil); err != nil {
		refuse(w, r, http.StatusBadRequest, "invalid_query", err.Error())
		return
	}
	v := s.view()
	t := v.find(timeline.ID(r.PathValue("id")))
	if t == nil {
		refuse(w, r, http.StatusNotFound, "not_found", noSuchTimeline(r.PathValue("id")))
		return
	}
	writeJSON(w, r, http.StatusOK, toWireTimeline(t, v.records()[t.Task]))
}

func noSuchTimeline(id string) string {
	return fmt.Sprintf("no timeline %q: it never was, or it closed so long ago that it is no longer kept", clip(id))
}

func (s *server) apiServices(w http.ResponseWriter, r *http.Request) {
	values, err := parseValues(r.URL.RawQuery, []string{"cluster", "service"})
	if err != nil {
		refuse(w, r, http.StatusBadRequest, "invalid_query", err.Error())
		return
	}
	v, now := s.view(), time.Now()
	answer := wireServices{Services: []wireService{}}
	if v.Snapshot != nil {
		answer.At = instant(v.Snapshot.At)
		open := v.openByService()
		for _, t := range v.Snapshot.Tally() {
			id := t.Service.ID
			if c := values["cluster"]; c != "" && c != id.Cluster {
				continue
			}
			if n := values["service"]; n != "" && n != id.Name {
				continue
			}
			answer.Services = append(answer.Services, toWireService(t, v.mode(id), open[id], now))
		}
	}
	writeJSON(w, r, http.StatusOK, answer)
}

func (v *View) openByService() map[fleet.ServiceID]int {
	open := make(map[fleet.ServiceID]int)
	for _, t := range v.Open {
		open[t.Service]++
	}
	return open
}

func (s *server) apiStatus(w http.ResponseWriter, r *http.Request) {
	if _, err := parseValues(r.URL.RawQuery, nil); err != nil {
		refuse(w, r, http.StatusBadRequest, "invalid_query", err.Error())
		return
	}
	v, now := s.view(), time.Now()
	ready, why := v.ready(now)
	answer := wireStatus{
		Version: v.Version, Started: instant(v.Started), Now: instant(now),
		Ready: ready, NotReadyReason: optional(why),
		LastFull: instant(v.LastFull), ReadyWithin: seconds(v.ReadyWithin),
		TimelinesOpen: len(v.Open), TimelinesKept: len(v.Closed),
		Acting: v.acting(now), Gaps: []wireGap{},
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
	writeJSON(w, r, http.StatusOK, answer)
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

func writeJSON(w http.ResponseWriter, r *http.Request, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		// The wire types hold nothing that cannot be encoded: a bug of ours,
		// which the server's own recovery logs.
		panic(fmt.Errorf("encode %T: %w", v, err))
	}
	write(w, r, code, "application/json", append(body, '\n'))
}
