package scenario

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// tap sits between one castoff and the region and notes what each reply told:
// what castoff can know, by a reading of the wire that shares no code with it.
// It outlives restarts, as a journal does.
type tap struct {
	region sim.Doer
	agent  string // User-Agent, by which the region tells whose call it is

	mu    sync.Mutex
	asks  map[string]asked     // requests by their body: the same ones come again and again
	reads map[string][]reading // by subject, the latest last
	skews []skew               // of the region's clock against castoff's
}

// skew is how far the region's clock is ahead from an instant on.
type skew struct {
	from time.Time
	by   time.Duration
}

// asked is what a request to ECS is about.
type asked struct {
	cluster         string
	listed          string // whose things a list has: a cluster's, or a service's of it
	tasks, services []string
}

// reading is what one request told of one subject; not ok when it told nothing.
// Few are ever looked at: decode is for when one is.
type reading struct {
	sent, received time.Time
	decode         func(*reading) // nil: it has been
	lost           bool           // there was no reply that could tell anything
	ok             bool
	task           *taskReading
	rows           map[fleet.TargetKey]fleet.TargetState
	service        *serviceReading
}

type taskReading struct {
	Last         fleet.TaskStatus   `json:"lastStatus"`
	Desired      fleet.TaskStatus   `json:"desiredStatus"`
	Health       fleet.HealthStatus `json:"healthStatus"`
	Connectivity string             `json:"connectivity"`
	ARN          fleet.TaskARN      `json:"taskArn"`
	Version      int64              `json:"version"`
}

// sick is what confirms a failure; a check that fails is behind it, for in the
// region only checks make a task UNHEALTHY.
func (r *taskReading) sick() bool {
	return r.Health == fleet.Unhealthy && r.Connectivity != fleet.Disconnected
}

func (r *taskReading) up() bool { return r.Last == fleet.Running && r.Desired == fleet.Running }

type serviceReading struct {
	Name        string `json:"serviceName"`
	Desired     int    `json:"desiredCount"`
	Deployments []struct {
		Rollout string `json:"rolloutState"`
	} `json:"deployments"`
}

func (r *serviceReading) rolling() bool {
	return len(r.Deployments) > 1 || slices.ContainsFunc(r.Deployments, func(d struct {
		Rollout string `json:"rolloutState"`
	}) bool {
		return d.Rollout != "" && d.Rollout != "COMPLETED"
	})
}

// The subjects.
const allGroups = "list of target groups"

func ofTask(arn fleet.TaskARN) string                { return "task " + arn.ID() }
func ofRows(group fleet.TargetGroupARN) string       { return "rows of " + string(group) }
func ofGroup(group fleet.TargetGroupARN) string      { return "settings of " + string(group) }
func ofAttributes(group fleet.TargetGroupARN) string { return "attributes of " + string(group) }
func ofService(id fleet.ServiceID) string            { return "service " + id.String() }
func ofLists(of, what string) string                 { return what + " of " + of }

// Do passes a request on and notes what came back.
func (p *tap) Do(req *http.Request) (*http.Response, error) {
	var asked []byte
	if req.Body != nil {
		asked, _ = io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(asked))
	}
	req.Header.Set("User-Agent", p.agent)
	sent := time.Now()
	rep, err := p.region.Do(req)
	var told []byte
	if err == nil {
		told, _ = io.ReadAll(rep.Body)
		if rep.StatusCode != http.StatusOK {
			p.note(req, asked, nil, sent)
		} else {
			told = p.shift(req, told)
			p.note(req, asked, told, sent)
		}
		rep.Body = io.NopCloser(bytes.NewReader(told))
		rep.ContentLength = int64(len(told))
		rep.Header.Set("Content-Length", strconv.Itoa(len(told)))
	} else {
		p.note(req, asked, nil, sent)
	}
	return rep, err
}

// seen is what a castoff had read by an instant. A call goes by what was read before it
// began: the passes go on beside it, and read on.
type seen struct {
	tap *tap
	by  time.Time
}

func (p *tap) by(at time.Time) seen { return seen{p, at} }

// of are the readings of a subject, the latest last.
func (s seen) of(subject string) []reading {
	rs := s.tap.reads[subject]
	for len(rs) > 0 && rs[len(rs)-1].received.After(s.by) {
		rs = rs[:len(rs)-1]
	}
	return rs
}

// last is the latest reading of a subject; nil: none.
func (s seen) last(subject string) *reading {
	s.tap.mu.Lock()
	defer s.tap.mu.Unlock()
	rs := s.of(subject)
	for i := len(rs) - 1; i >= 0; i-- {
		if !outdone(rs, i) {
			return rs[i].decoded()
		}
	}
	return nil
}

// outdone reports that a reading of a task is of an older version of it than one
// before: it tells nothing.
func outdone(rs []reading, i int) bool {
	r := rs[i].decoded()
	return r.task != nil && slices.ContainsFunc(rs[max(0, i-20):i], func(was reading) bool {
		before := was.decoded().task
		return before != nil && before.Version > r.task.Version
	})
}

// knows is the latest reading of a subject that told something; nil: none.
func (s seen) knows(subject string) *reading {
	s.tap.mu.Lock()
	defer s.tap.mu.Unlock()
	rs := s.of(subject)
	for i := len(rs) - 1; i >= 0; i-- {
		if r := rs[i].decoded(); r.ok {
			return r
		}
	}
	return nil
}

// sick is how many readings in a row have shown a task failing, and since when.
func (s seen) sick(arn fleet.TaskARN) (n int, since time.Time) {
	s.tap.mu.Lock()
	defer s.tap.mu.Unlock()
	rs := s.of(ofTask(arn))
	for i := len(rs) - 1; i >= 0; i-- {
		switch r := rs[i].decoded(); {
		case !r.ok, outdone(rs, i):
		case !r.task.sick():
			return n, since
		default:
			n, since = n+1, r.received
		}
	}
	return n, since
}

// decoded finds out what a reading told, when that is first asked.
func (r *reading) decoded() *reading {
	if r.decode != nil {
		r.decode(r)
		r.decode = nil
	}
	return r
}

// remembered is how many readings of a subject are kept.
const remembered = 200

func (p *tap) add(subject string, r reading, decode func(*reading)) {
	r.decode = decode
	rs := p.reads[subject]
	if len(rs) >= 2*remembered {
		rs = thin(rs)
		rs = rs[max(0, len(rs)-remembered):]
	}
	p.reads[subject] = append(rs, r)
}

// thin leaves out all but the last of lost replies in a row: what was told before them
// is still the latest word.
func thin(rs []reading) (kept []reading) {
	for i, r := range rs {
		if !r.lost || i+1 == len(rs) || !rs[i+1].lost {
			kept = append(kept, r)
		}
	}
	return kept
}

// note takes in a reply; told is nil when there was none that can be used.
func (p *tap) note(req *http.Request, asked, told []byte, sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := reading{sent: sent, received: time.Now(), lost: told == nil}
	if target := req.Header.Get("X-Amz-Target"); target != "" {
		p.noteECS(target[strings.LastIndexByte(target, '.')+1:], asked, told, r)
		return
	}
	form, _ := url.ParseQuery(string(asked))
	p.noteELB(form, told, r)
}

// ask decodes a request to ECS.
func (p *tap) ask(body []byte) (a asked, ok bool) {
	if q, known := p.asks[string(body)]; known {
		return q, true
	}
	var q struct {
		Cluster, ServiceName string
		Tasks, Services      []string
	}
	if json.Unmarshal(body, &q) != nil {
		return a, false
	}
	a = asked{cluster: q.Cluster[strings.LastIndexByte(q.Cluster, '/')+1:], tasks: q.Tasks, services: q.Services}
	if a.listed = a.cluster; q.ServiceName != "" {
		a.listed = fleet.ServiceID{Cluster: a.cluster, Name: q.ServiceName}.String()
	}
	if len(p.asks) > 1000 {
		clear(p.asks)
	}
	p.asks[string(body)] = a
	return a, true
}

// replied is what ECS has answered.
type replied struct {
	good     bool
	tasks    []taskReading
	services []serviceReading
}

func (p *tap) noteECS(operation string, body, reply []byte, r reading) {
	q, ok := p.ask(body)
	if !ok {
		return
	}
	answer := sync.OnceValue(func() (t replied) {
		a := struct {
			Tasks    *[]taskReading    `json:"tasks"`
			Services *[]serviceReading `json:"services"`
		}{&t.tasks, &t.services}
		t.good = reply != nil && json.Unmarshal(reply, &a) == nil
		return t
	})
	switch operation {
	case "DescribeTasks":
		for _, arn := range q.tasks {
			p.add(ofTask(fleet.TaskARN(arn)), r, func(r *reading) {
				a := answer()
				i := slices.IndexFunc(a.tasks, func(t taskReading) bool { return string(t.ARN) == arn })
				if r.ok = a.good && i >= 0; r.ok {
					r.task = &a.tasks[i]
				}
			})
		}
	case "DescribeServices":
		for _, name := range q.services {
			name = name[strings.LastIndexByte(name, '/')+1:]
			p.add(ofService(fleet.ServiceID{Cluster: q.cluster, Name: name}), r, func(r *reading) {
				a := answer()
				i := slices.IndexFunc(a.services, func(s serviceReading) bool { return s.Name == name })
				if r.ok = a.good && i >= 0; r.ok {
					r.service = &a.services[i]
				}
			})
		}
	case "ListTasks", "ListServices":
		p.add(ofLists(q.listed, operation), r, func(r *reading) { r.ok = answer().good })
	}
}

func (p *tap) noteELB(form url.Values, reply []byte, r reading) {
	good := func(r *reading) { r.ok = reply != nil && xml.Unmarshal(reply, new(struct{})) == nil }
	switch form.Get("Action") {
	case "DescribeTargetHealth":
		group := fleet.TargetGroupARN(form.Get("TargetGroupArn"))
		p.add(ofRows(group), r, func(r *reading) {
			var a struct {
				Rows []struct {
					ID    string `xml:"Target>Id"`
					Port  int    `xml:"Target>Port"`
					State string `xml:"TargetHealth>State"`
				} `xml:"DescribeTargetHealthResult>TargetHealthDescriptions>member"`
			}
			if r.ok = reply != nil && xml.Unmarshal(reply, &a) == nil; r.ok {
				r.rows = map[fleet.TargetKey]fleet.TargetState{}
				for _, row := range a.Rows {
					r.rows[fleet.NewTargetKey(group, row.ID, row.Port)] = fleet.TargetState(row.State)
				}
			}
		})
	case "DescribeTargetGroups":
		subject := allGroups
		if one := form.Get("TargetGroupArns.member.1"); one != "" {
			subject = ofGroup(fleet.TargetGroupARN(one))
		}
		p.add(subject, r, good)
	case "DescribeTargetGroupAttributes":
		p.add(ofAttributes(fleet.TargetGroupARN(form.Get("TargetGroupArn"))), r, good)
	}
}

// stamp is an instant that ECS stamps on what it tells of.
var stamp = regexp.MustCompile(`(At":)(\d+\.\d{3})`)

// shift gives what ECS stamped the time of the region's own clock.
func (p *tap) shift(req *http.Request, told []byte) []byte {
	p.mu.Lock()
	skews := slices.Clone(p.skews)
	p.mu.Unlock()
	if len(skews) == 0 || req.Header.Get("X-Amz-Target") == "" {
		return told
	}
	return stamp.ReplaceAllFunc(told, func(found []byte) []byte {
		seconds, err := strconv.ParseFloat(string(found[4:]), 64)
		if err != nil {
			return found
		}
		at := time.UnixMilli(int64(seconds*1000 + 0.5))
		ahead := time.Duration(0)
		for _, s := range skews {
			if !at.Before(s.from) {
				ahead = s.by
			}
		}
		return fmt.Appendf(nil, `At":%.3f`, float64(at.Add(ahead).UnixMilli())/1000)
	})
}
