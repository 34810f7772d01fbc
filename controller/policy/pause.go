package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Scope is how much a pause stops.
type Scope string

// The scopes.
const (
	ScopeAll     Scope = "all"
	ScopeCluster Scope = "cluster"
	ScopeService Scope = "service"
)

// Scopes lists every scope.
var Scopes = []Scope{ScopeAll, ScopeCluster, ScopeService}

// From is where a pause was set.
type From string

// The places.
const (
	FromConfig From = "config"
	FromTag    From = "tag"
)

// Pause is a person's order not to detach. It has an owner, a reason and an end,
// and is shown wherever people look.
type Pause struct {
	Scope Scope
	// Service is what it is about: its Cluster alone for ScopeCluster, nothing
	// for ScopeAll.
	Service fleet.ServiceID
	Until   time.Time // zero: for ever
	Owner   string    // whom to ask, and why: there unless Problem is
	Reason  string
	// KeepOut also stops attaching what castoff took out (reattach=no). Without
	// it a pause never strands a healthy task.
	KeepOut bool
	From    From
	// Problem says why a tag could not be read. Such a pause has no end: a brake
	// that cannot be read holds.
	Problem string
}

// Active reports that the pause has not ended.
func (p *Pause) Active(now time.Time) bool { return p.Until.IsZero() || now.Before(p.Until) }

// Covers reports that the pause is about a service.
func (p *Pause) Covers(id fleet.ServiceID) bool {
	switch p.Scope {
	case ScopeCluster:
		return p.Service.Cluster == id.Cluster
	case ScopeService:
		return p.Service == id
	default: // ScopeAll; a scope that nobody knows covers all
		return true
	}
}

// PauseTag is the tag of an ECS service or cluster that pauses it.
const PauseTag = "castoff:pause"

// ParsePause reads the value of a [PauseTag]:
//
//	until=2026-11-23T18:00:00Z owner=jane@example.com reason=database upgrade reattach=no
//
// until is RFC 3339; until, owner and reason must be there, reattach is yes
// (the default) or no; a value goes on to the next key. ECS allows letters,
// numbers, spaces and + - = . _ : / @ in it. A value that cannot be read makes a
// pause without end that says why in Problem.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
func ParsePause(value string) Pause {
	p := Pause{From: FromTag}
	fields := make(map[string]string)
	key := ""
	for _, word := range strings.Fields(value) {
		name, rest, ok := strings.Cut(word, "=")
		switch {
		case !ok && key == "":
			p.complain("it does not begin with a key: %q", word)
		case !ok:
			fields[key] += " " + word
		case !slices.Contains([]string{"until", "owner", "reason", "reattach"}, name):
			p.complain("unknown key %q: there are until, owner, reason and reattach", name)
		default:
			if _, twice := fields[name]; twice {
				p.complain("%s is there twice", name)
			}
			key = name
			fields[key] = rest
		}
	}
	p.Owner, p.Reason = strings.TrimSpace(fields["owner"]), strings.TrimSpace(fields["reason"])
	for _, must := range []string{"until", "owner", "reason"} {
		if strings.TrimSpace(fields[must]) == "" {
			p.complain("%s is missing", must)
		}
	}
	switch fields["reattach"] {
	case "", "yes":
	case "no":
		p.KeepOut = true
	default:
		p.complain("reattach must be yes or no, not %q", fields["reattach"])
	}
	if until := fields["until"]; until != "" {
		end, err := time.Parse(time.RFC3339, until)
		if err != nil {
			p.complain("until must be like 2026-11-23T18:00:00Z, not %q", until)
		}
		p.Until = end.UTC()
	}
	if p.Problem != "" {
		p.Until = time.Time{}
	}
	return p
}

// complain notes the first thing that is wrong.
func (p *Pause) complain(format string, args ...any) {
	if p.Problem == "" {
		p.Problem = fmt.Sprintf(format, args...)
	}
}

// TagPauses are the pauses that the tags of a snapshot's clusters and services
// ask for, those that have ended included, in the order of clusters, then
// services.
func TagPauses(s *fleet.Snapshot) []Pause {
	var ps []Pause
	add := func(tags map[string]string, scope Scope, id fleet.ServiceID) {
		if value, ok := tags[PauseTag]; ok {
			p := ParsePause(value)
			p.Scope, p.Service = scope, id
			ps = append(ps, p)
		}
	}
	for _, c := range s.Clusters {
		add(c.Tags, ScopeCluster, fleet.ServiceID{Cluster: cmp.Or(c.ARN.Name(), c.Name)})
	}
	for _, svc := range s.Services {
		add(svc.Tags, ScopeService, svc.ID)
	}
	return ps
}

// pausing is the pause that holds a service up, of several the one that ends
// last; nil when none does.
func pausing(ps []Pause, id fleet.ServiceID, now time.Time) *Pause {
	var last *Pause
	for i := range ps {
		p := &ps[i]
		if !p.Active(now) || !p.Covers(id) {
			continue
		}
		if last == nil || p.Until.IsZero() || !last.Until.IsZero() && p.Until.After(last.Until) {
			last = p
		}
	}
	return last
}
