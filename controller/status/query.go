package status

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/timeline"
)

// How many things a page of the API holds.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// timelineFilters are the parameters of /api/v1/timelines.
var timelineFilters = []string{"cluster", "service", "trigger", "outcome", "state", "since", "until", "limit", "cursor"}

// query selects timelines. Zero values select everything.
type query struct {
	cluster, service string
	trigger          timeline.Trigger
	outcome          timeline.Outcome
	state            string // open or closed
	since, until     time.Time
	paging
}

// paging is which part of a list is asked for: so many, after a position.
type paging struct {
	limit int
	after position
}

// position is a thing's place in the one order that all pages of its list
// follow: newest first, and by an id among those of one instant. A thing never
// changes its place, so a cursor stays where it was while new ones arrive and
// open ones close.
type position struct {
	at time.Time
	id string
}

func positionOf(t *timeline.Timeline) position { return position{at: t.Opened, id: string(t.ID)} }

// compare is negative when p comes first.
func (p position) compare(o position) int {
	return cmp.Or(o.at.Compare(p.at), cmp.Compare(p.id, o.id))
}

// cursor is opaque to clients: its form may change.
func (p position) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.at.UnixNano(), 10) + "|" + p.id))
}

func parseCursor(s string) (position, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	nanos, id, found := strings.Cut(string(raw), "|")
	n, err2 := strconv.ParseInt(nanos, 10, 64)
	if err != nil || err2 != nil || !found || id == "" {
		return position{}, fmt.Errorf("cursor: not one that castoff gave (take next_cursor as it is)")
	}
	return position{at: time.Unix(0, n), id: id}, nil
}

func parsePaging(values map[string]string) (p paging, err error) {
	p.limit = defaultLimit
	if s := values["limit"]; s != "" {
		if p.limit, err = strconv.Atoi(s); err != nil || p.limit < 1 || p.limit > maxLimit {
			return paging{}, fmt.Errorf("limit: must be 1..%d (got %q)", maxLimit, clip(s))
		}
	}
	if s := values["cursor"]; s != "" {
		if p.after, err = parseCursor(s); err != nil {
			return paging{}, err
		}
	}
	return p, nil
}

// pageOf is one page of what was selected, which it sorts; next is empty on the
// last one.
func pageOf[T any](selected []T, p paging, at func(T) position) (page []T, next string) {
	if p.after.id != "" {
		selected = slices.DeleteFunc(selected, func(t T) bool { return p.after.compare(at(t)) >= 0 })
	}
	slices.SortFunc(selected, func(a, b T) int { return at(a).compare(at(b)) })
	if len(selected) > p.limit {
		selected = selected[:p.limit]
		next = at(selected[p.limit-1]).cursor()
	}
	return selected, next
}

// parseQuery reads the parameters of a list of timelines. Its errors name what is
// allowed; an empty value selects everything.
func parseQuery(values map[string]string) (q query, err error) {
	q = query{cluster: values["cluster"], service: values["service"]}
	if q.trigger, err = oneOf("trigger", values["trigger"], timeline.Triggers); err != nil {
		return query{}, err
	}
	if q.outcome, err = oneOf("outcome", values["outcome"], timeline.Outcomes); err != nil {
		return query{}, err
	}
	if q.state, err = oneOf("state", values["state"], []string{"open", "closed"}); err != nil {
		return query{}, err
	}
	if q.since, q.until, err = parseTimes(values); err != nil {
		return query{}, err
	}
	if q.paging, err = parsePaging(values); err != nil {
		return query{}, err
	}
	return q, nil
}

// parseValues reads a query string that may have each of the allowed names
// once.
func parseValues(raw string, allowed []string) (map[string]string, error) {
	parsed, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fmt.Errorf("query string: %s", clip(err.Error()))
	}
	values := make(map[string]string, len(parsed))
	for _, name := range slices.Sorted(maps.Keys(parsed)) {
		switch {
		case len(allowed) == 0:
			return nil, fmt.Errorf("unknown parameter %q: none is known here", clip(name))
		case !slices.Contains(allowed, name):
			return nil, fmt.Errorf("unknown parameter %q: known are %s", clip(name), strings.Join(allowed, ", "))
		case len(parsed[name]) > 1:
			return nil, fmt.Errorf("%s: given %d times, only one is allowed", name, len(parsed[name]))
		}
		values[name] = parsed[name][0]
	}
	return values, nil
}

func oneOf[T ~string](name, value string, allowed []T) (T, error) {
	if value == "" || slices.Contains(allowed, T(value)) {
		return T(value), nil
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	return "", fmt.Errorf("%s: must be one of %s (got %q)", name, strings.Join(words, ", "), clip(value))
}

func parseTime(name, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: must be an RFC 3339 time such as 2026-03-01T12:00:00Z (got %q)", name, clip(value))
	}
	return t, nil
}

// parseTimes reads since and until, which no time can be between when the one is
// not before the other.
func parseTimes(values map[string]string) (since, until time.Time, err error) {
	if since, err = parseTime("since", values["since"]); err != nil {
		return since, until, err
	}
	if until, err = parseTime("until", values["until"]); err != nil {
		return since, until, err
	}
	if !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return since, until, fmt.Errorf("until: must be later than since (got %q and %q)", clip(values["until"]), clip(values["since"]))
	}
	return since, until, nil
}

// parseTask reads a task's ARN or its id.
func parseTask(s string) (string, error) {
	if s != "" {
		if of, err := parseSubject(s); err != nil || of.target != "" {
			return "", fmt.Errorf("task: must be a task's ARN or its id (got %q)", clip(s))
		}
	}
	return s, nil
}

// matches reports whether the query selects t, cursor aside. Since and until
// are about when it was opened; since is included, until is not.
func (q *query) matches(t *timeline.Timeline) bool {
	switch {
	case q.cluster != "" && t.Service.Cluster != q.cluster,
		q.service != "" && t.Service.Name != q.service,
		q.trigger != "" && t.Trigger != q.trigger,
		q.outcome != "" && t.Outcome != q.outcome,
		q.state != "" && t.IsOpen() != (q.state == "open"),
		!q.since.IsZero() && t.Opened.Before(q.since),
		!q.until.IsZero() && !t.Opened.Before(q.until):
		return false
	}
	return true
}

// page selects one page of a View's timelines; next is empty on the last one.
func (q *query) page(v *View) (ts []*timeline.Timeline, next string) {
	return pageOf(q.all(v), q.paging, positionOf)
}

// all selects from a View's timelines, whatever the page; the slice is the
// caller's own.
func (q *query) all(v *View) (ts []*timeline.Timeline) {
	for _, list := range [][]*timeline.Timeline{v.Open, v.Closed} {
		for _, t := range list {
			if q.matches(t) {
				ts = append(ts, t)
			}
		}
	}
	return ts
}

// find is a View's timeline of that id. One that could never be is a mistake of
// who asks; one that may have been is gone, which nobody did wrong.
func (v *View) find(id string) (*timeline.Timeline, error) {
	for _, list := range [][]*timeline.Timeline{v.Open, v.Closed} {
		for _, t := range list {
			if t.ID == timeline.ID(id) {
				return t, nil
			}
		}
	}
	if !timeline.ID(id).WellFormed() {
		return nil, fmt.Errorf("id: must be a timeline's, a task's id and when it was opened, such as 1f0c2a57b1c24d6f8e1f6b7a9d3c5e01-20260301T120000Z (got %q); /timelines has those that are kept", clip(id))
	}
	return nil, &problem{notFound, fmt.Sprintf("no timeline %q: it never was, or it closed so long ago that it is no longer kept; /timelines has those that are", clip(id))}
}

// clip bounds what an error repeats of its input, at a rune's end.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
