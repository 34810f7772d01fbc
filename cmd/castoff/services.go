package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

type servicesCmd struct {
	Cluster string `help:"Only services of this cluster." placeholder:"NAME"`
	Service string `help:"Only services of this name." placeholder:"NAME"`
	serverFlag
	JSON bool `name:"json" help:"Print the answer as JSON, as /api/v1/services gives it, all pages in one."`
}

func (c servicesCmd) Help() string {
	return "Examples:\n\n" +
		"  castoff services --cluster prod\n" +
		"  castoff services --json | jq '.services[] | select(.timelines_open > 0)'\n\n" +
		"One line for each target group of a service. FAILING is its open timelines, EXPOSED the targets that the balancer calls healthy although ECS calls their task UNHEALTHY, READ how old the oldest reading in the line is: of a task, or of the group's targets. A question mark is what could never be read. What a gateway of ECS sends to a service castoff does not see: that is a line of its own.\n\n" +
		serverHelp
}

// Run prints the services that castoff watches.
func (c servicesCmd) Run(ctx context.Context, to streams) error {
	from, err := c.reader()
	if err != nil {
		return err
	}
	defer from.close()
	return c.print(ctx, from, newScreen(to.out))
}

func (c servicesCmd) print(ctx context.Context, from *reader, to screen) error {
	body, err := c.all(ctx, from)
	if err != nil {
		return err
	}
	if c.JSON {
		return from.copyJSON(to.w, body)
	}
	var answer struct {
		At       *time.Time
		Services []shownService
	}
	if err := from.decode(body, &answer); err != nil {
		return err
	}
	if answer.At == nil {
		return errors.New("castoff has just started: no pass has ended yet, so that it knows no service")
	}
	sight, err := from.sight(ctx)
	if err != nil {
		return err
	}
	if len(answer.Services) == 0 {
		if _, err := fmt.Fprintln(to.w, "No such service."); err != nil {
			return err
		}
		return sight.print(to)
	}
	rows := [][]text{{{said: "SERVICE"}, {said: "MODE"}, {said: "RUNNING"}, {said: "HEALTHY"}, {said: "UNHEALTHY"}, {said: "UNKNOWN"}, {said: "FAILING"}, {said: "READ"}, {said: "EXPOSED"}, {said: "TARGET GROUP"}, {said: "TARGETS"}}}
	for i := range answer.Services {
		rows = append(rows, answer.Services[i].rows()...)
	}
	if err := to.printTable(rows, 2, 3, 4, 5, 6, 7, 8); err != nil {
		return err
	}
	return sight.print(to)
}

// all is the answer with the services of every page. At is the first page's: what
// follows is not older.
func (c servicesCmd) all(ctx context.Context, from *reader) ([]byte, error) {
	type page struct {
		At       json.RawMessage   `json:"at"`
		Services []json.RawMessage `json:"services"`
		Next     *string           `json:"next_cursor"`
	}
	var whole page
	for cursor := ""; ; cursor = *whole.Next {
		body, err := from.get(ctx, "/api/v1/services", values("cluster", c.Cluster, "service", c.Service, "limit", "1000", "cursor", cursor))
		if err != nil {
			return nil, err
		}
		var p page
		if err := from.decode(body, &p); err != nil {
			return nil, err
		}
		if cursor == "" && p.Next == nil {
			return body, nil
		}
		if whole.At == nil {
			whole.At = p.At
		}
		whole.Services, whole.Next = append(whole.Services, p.Services...), p.Next
		if p.Next == nil {
			body, err = json.Marshal(whole)
			return append(body, '\n'), err
		}
		if *p.Next == cursor || len(p.Services) == 0 {
			return nil, from.garbled(errors.New("a page of services after which the same comes again"))
		}
	}
}

// shownService is as much of a service as is printed.
type shownService struct {
	Cluster, Service, Mode line
	Desired, Running       int
	Tasks                  *struct {
		Healthy, Unhealthy, Unknown int
		Age                         *float64 `json:"age_seconds"`
	}
	TargetGroups  []shownGroup `json:"target_groups"`
	TimelinesOpen int          `json:"timelines_open"`
	Gateway       *bool
}

type shownGroup struct {
	Name    line         `json:"target_group"`
	Targets map[line]int // nil while it could never be read
	Age     *float64     `json:"age_seconds"` // null with Targets
	Exposed int
}

// rows are one for each target group, or one.
func (s *shownService) rows() [][]text {
	name := text{said: string(s.Cluster + "/" + s.Service)}
	row := []text{name, {said: string(s.Mode)}, {said: fmt.Sprintf("%d of %d", s.Running, s.Desired)}}
	if t := s.Tasks; t == nil {
		row = append(row, text{said: "?"}, text{said: "?"}, text{said: "?"})
	} else {
		row = append(row, text{said: strconv.Itoa(t.Healthy)}, count(t.Unhealthy), text{said: strconv.Itoa(t.Unknown)})
	}
	row = append(row, count(s.TimelinesOpen))
	var rows [][]text
	for i, g := range s.TargetGroups {
		if i > 0 {
			row = []text{name, {}, {}, {}, {}, {}, {}}
		}
		exposed := count(g.Exposed)
		if g.Targets == nil {
			exposed = text{said: "?"}
		}
		rows = append(rows, append(row, text{said: s.read(&g)}, exposed, text{said: string(g.Name)}, text{said: g.states()}))
	}
	if s.Gateway != nil && *s.Gateway {
		if len(rows) > 0 {
			row = []text{name, {}, {}, {}, {}, {}, {}}
		}
		rows = append(rows, append(row, text{said: s.read(nil)}, text{said: "?"}, text{said: "a gateway"}, text{said: "not seen"}))
	}
	if len(rows) == 0 {
		rows = append(rows, append(row, text{said: s.read(nil)}, text{said: "-"}, text{said: "-"}, text{said: "-"}))
	}
	return rows
}

// read is how old the oldest reading of its tasks and of a group's targets is.
func (s *shownService) read(g *shownGroup) string {
	if s.Tasks == nil || g != nil && g.Age == nil {
		return "?"
	}
	var ages []float64
	if s.Tasks.Age != nil { // it has tasks
		ages = append(ages, *s.Tasks.Age)
	}
	if g != nil {
		ages = append(ages, *g.Age)
	}
	if len(ages) == 0 {
		return "-"
	}
	return figure(slices.Max(ages)) + " s"
}

// states are the group's targets by state, those that there are.
func (g *shownGroup) states() string {
	if g.Targets == nil {
		return "?"
	}
	var said []string
	for _, state := range slices.Sorted(maps.Keys(g.Targets)) {
		if n := g.Targets[state]; n != 0 {
			said = append(said, fmt.Sprintf("%d %s", n, state))
		}
	}
	if len(said) == 0 {
		return "none"
	}
	return strings.Join(said, ", ")
}

// count stands out when it is not 0.
func count(n int) text {
	if n == 0 {
		return text{said: "0"}
	}
	return text{said: strconv.Itoa(n), as: alarm}
}

// sight is what castoff says about how far what it says can be relied on: an
// empty table of a castoff that sees nothing is no good news.
type sight struct {
	Now            time.Time
	Ready          bool
	NotReadyReason line `json:"not_ready_reason"`
	Gaps           []struct{ Kind line }
	Acting         struct {
		Halts []struct{ Cause, Detail line }
	}
}

func (r *reader) sight(ctx context.Context) (s sight, err error) {
	err = r.ask(ctx, "/api/v1/status", nil, &s)
	return s, err
}

// warnings are a sentence for each thing that is wrong with castoff itself.
func (s *sight) warnings() []string {
	var said []string
	if !s.Ready {
		said = append(said, "castoff is not ready, what is shown may be old: "+string(s.NotReadyReason))
	}
	for _, h := range s.Acting.Halts {
		said = append(said, fmt.Sprintf("castoff has stopped acting (%s): %s", h.Cause, h.Detail))
	}
	if n := len(s.Gaps); n > 0 {
		said = append(said, fmt.Sprintf("castoff does not see everything: gaps, %d", n))
	}
	return said
}

func (s *sight) print(to screen) error {
	var b strings.Builder
	for _, w := range s.warnings() {
		b.WriteString("\n" + to.paint([]text{{w, alarm}}, 0) + "\n")
	}
	_, err := io.WriteString(to.w, b.String())
	return err
}
