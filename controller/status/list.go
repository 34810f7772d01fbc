package status

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// How much the page of timelines shows at a time.
const (
	listRows    = 50
	summaryRows = 50
)

// listPage is the page of timelines.
type listPage struct {
	Head    head
	Filters []filter
	// Count is how many were selected, on all pages; Kept how many there are.
	Count, Kept int
	Rows        []listRow
	Whole       string // the scale of the rows' bars
	Summaries   []summary
	// Services is how many have a summary, shown or not.
	Services      int
	Newest, Older string // links; empty where there is no such page
	JSON          string
	Noun          string // closed timelines, open timelines
	Recent        []recent
}

// MoreSummaries is how many services are not summed up.
func (p *listPage) MoreSummaries() int { return p.Services - len(p.Summaries) }

// recent is a shortcut to the timelines of the last hours: nobody types an
// instant on a phone.
type recent struct{ Name, Link string }

// filter is one field of the form.
type filter struct {
	Name, Label, Value string
	Options            []string // none: any text
	Hint               string
}

type listRow struct {
	closedRow
	Strip strip
	State string
}

// summary is how long the phases of one service's failures took.
type summary struct {
	Service string
	Link    string
	Count   int
	Phases  []phaseSummary // one for each of timeline.PhaseNames
}

// phaseSummary is empty where no timeline had the phase.
type phaseSummary struct {
	Name     timeline.PhaseName
	P50, P95 string
	Bars     []bar
	p50, p95 time.Duration
}

func timelines(v *View, r request) (any, error) {
	q, err := parseQuery(r.values)
	if err != nil {
		return nil, err
	}
	if err := v.known(q.cluster, q.service); err != nil {
		return nil, err
	}
	given := r.given()
	if given.Get("limit") == "" {
		q.limit = listRows
	}
	if !given.Has("state") {
		q.state = "closed"
	}
	return newListPage(v, &q, given, r.now), nil
}

func newListPage(v *View, q *query, given url.Values, now time.Time) *listPage {
	selected := q.all(v)
	p := &listPage{
		Head: newHead(v, "Timelines", "/timelines", now), Filters: q.filters(given), Count: len(selected), Kept: len(v.Closed), Noun: "timelines",
	}
	if q.state != "" {
		p.Noun = q.state + " timelines"
	}
	p.Services, p.Summaries = summarize(selected)
	page, next := pageOf(selected, q.paging, positionOf)
	whole := wholeOf(page, now)
	p.Whole = span(whole)
	records := v.records()
	for _, t := range page {
		row := listRow{closedRow: newClosedRow(t, records[t.Task], now), Strip: newStrip(t, whole, now), State: string(t.Outcome)}
		if t.IsOpen() {
			row.State = "open"
		}
		p.Rows = append(p.Rows, row)
	}
	turn := func(cursor string) string {
		values := maps.Clone(given)
		values.Del("cursor")
		if cursor != "" {
			values.Set("cursor", cursor)
		}
		return "/timelines?" + values.Encode()
	}
	for _, r := range []struct {
		name string
		d    time.Duration
	}{{"hour", time.Hour}, {"day", 24 * time.Hour}, {"week", 7 * 24 * time.Hour}} {
		values := maps.Clone(given)
		values.Del("cursor")
		values.Del("until")
		values.Set("since", now.Add(-r.d).UTC().Format("2006-01-02T15:04:05Z"))
		p.Recent = append(p.Recent, recent{r.name, "/timelines?" + values.Encode()})
	}
	if q.after.id != "" {
		p.Newest = turn("")
	}
	if next != "" {
		p.Older = turn(next)
	}
	api := maps.Clone(given)
	api.Set("state", q.state)
	p.JSON = "/api/v1/timelines?" + api.Encode()
	return p
}

// filters are the form's fields, as they were filled in.
func (q *query) filters(given url.Values) []filter {
	fs := []filter{
		{Name: "cluster", Label: "Cluster"},
		{Name: "service", Label: "Service"},
		{Name: "trigger", Label: "Shown by", Options: names(timeline.Triggers)},
		{Name: "outcome", Label: "Outcome", Options: names(timeline.Outcomes)},
		{Name: "state", Label: "State", Options: []string{"open", "closed"}},
		{Name: "since", Label: "Opened since", Hint: "2026-03-01T12:00:00Z"},
		{Name: "until", Label: "Opened before", Hint: "2026-03-01T13:00:00Z"},
	}
	for i := range fs {
		fs[i].Value = given.Get(fs[i].Name)
		if fs[i].Name == "state" {
			fs[i].Value = q.state
		}
	}
	return fs
}

func names[T ~string](all []T) []string {
	words := make([]string, len(all))
	for i, one := range all {
		words[i] = string(one)
	}
	return words
}

// summarize answers how many services the timelines are of, and sums up those
// with the most of them.
func summarize(ts []*timeline.Timeline) (services int, shown []summary) {
	of := make(map[fleet.ServiceID][]*timeline.Timeline)
	for _, t := range ts {
		of[t.Service] = append(of[t.Service], t)
	}
	ids := slices.SortedFunc(maps.Keys(of), func(a, b fleet.ServiceID) int {
		return cmp.Or(cmp.Compare(len(of[b]), len(of[a])), a.Compare(b))
	})
	for _, id := range ids[:min(len(ids), summaryRows)] {
		shown = append(shown, newSummary(id, of[id]))
	}
	// One scale a phase: services are to be compared.
	for i := range timeline.PhaseNames {
		var whole time.Duration
		for _, s := range shown {
			whole = max(whole, s.Phases[i].p95)
		}
		for j := range shown {
			shown[j].Phases[i].draw(whole)
		}
	}
	return len(ids), shown
}

func newSummary(id fleet.ServiceID, ts []*timeline.Timeline) summary {
	s := summary{
		Service: id.String(), Count: len(ts),
		Link: "/timelines?" + url.Values{"cluster": {id.Cluster}, "service": {id.Name}}.Encode(),
	}
	took := make(map[timeline.PhaseName][]time.Duration)
	for _, t := range ts {
		for _, p := range t.Phases() {
			took[p.Name] = append(took[p.Name], p.Shortest+p.Error()/2)
		}
	}
	for _, name := range timeline.PhaseNames {
		p := phaseSummary{Name: name}
		if ds := took[name]; len(ds) > 0 {
			slices.Sort(ds)
			p.p50, p.p95 = rank(ds, 50), rank(ds, 95)
			p.P50, p.P95 = span(p.p50), span(p.p95)
		}
		s.Phases = append(s.Phases, p)
	}
	return s
}

// rank is the nearest-rank percentile of what is sorted and not empty.
func rank(sorted []time.Duration, per int) time.Duration {
	return sorted[max(0, (len(sorted)*per+99)/100-1)]
}

// draw makes two bars of one scale: soft to the 95th percentile, solid to the
// median.
func (p *phaseSummary) draw(whole time.Duration) {
	if p.P50 == "" || whole <= 0 {
		return
	}
	for _, b := range []struct {
		d     time.Duration
		class string
	}{{p.p95, "soft"}, {p.p50, ""}} {
		width := max(least, min(100, 100*float64(b.d)/float64(whole)))
		p.Bars = append(p.Bars, bar{X: "0%", Width: percent(width), Class: string(p.Name) + " " + b.class})
	}
}

// Title says the bars in words.
func (p *phaseSummary) Title() string {
	return string(p.Name) + ": half within " + p.P50 + ", 95 of 100 within " + p.P95
}

// text is a timeline as text, to be pasted where pages cannot be.
func text(v *View, r request) ([]byte, error) {
	t, err := v.find(r.id)
	if err != nil {
		return nil, err
	}
	return timelineText(newTimelinePage(t, v, r.now)), nil
}
