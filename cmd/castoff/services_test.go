package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/status"
)

// TestServicesOfAllPages: what a castoff with more services than a page holds says
// is read to its end, for a table and as JSON.
func TestServicesOfAllPages(t *testing.T) {
	const services = 2345
	url := explaining(t, func(v *status.View) {
		s := *v.Snapshot
		s.Services = nil
		for i := range services {
			s.Services = append(s.Services, &fleet.Service{ID: fleet.ServiceID{Cluster: "prod", Name: fmt.Sprintf("service-%04d", i)}})
		}
		v.Snapshot = fleet.NewSnapshot(s)
	})
	got := castoff(t, nil, "services", "--server", url, "--json")
	var answer struct {
		At       *time.Time
		Services []struct{ Service string }
		Next     *string `json:"next_cursor"`
	}
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil || got.code != exitOK {
		t.Fatalf("code %d: %v: %.200s %s", got.code, err, got.out, got.err)
	}
	if len(answer.Services) != services || answer.At == nil || answer.Next != nil {
		t.Errorf("%d services at %v, next %v", len(answer.Services), answer.At, answer.Next)
	}
	for i, s := range answer.Services {
		if want := fmt.Sprintf("service-%04d", i); s.Service != want {
			t.Fatalf("service %d is %s", i, s.Service)
		}
	}
	if got := castoff(t, nil, "services", "--server", url); got.code != exitOK || !strings.Contains(got.out, "prod/service-2344") {
		t.Errorf("code %d: %.300s %s", got.code, got.out, got.err)
	}
}

// TestServicesOfAPageWithoutEnd: a castoff that never comes to an end is not asked for ever.
func TestServicesOfAPageWithoutEnd(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"at":null,"services":[{}],"next_cursor":"x"}`)
	}))
	defer server.Close()
	if got := castoff(t, nil, "services", "--server", server.URL); got.code != exitFailed || !strings.Contains(got.err, "does not understand") {
		t.Errorf("code %d: %s %s", got.code, got.out, got.err)
	}
}

// TestServicesSayThatAGatewayIsNotSeen: in a line of its own, and never as 0.
func TestServicesSayThatAGatewayIsNotSeen(t *testing.T) {
	for gateway, want := range map[string]int{"true": 2, "false": 1, "null": 1} {
		for groups, n := range map[string]int{`[{"target_group": "web", "targets": {}, "age_seconds": 1}]`: want, "[]": 1} {
			var s shownService
			if err := json.Unmarshal(fmt.Appendf(nil, `{"tasks": {"age_seconds": 2}, "gateway": %s, "target_groups": %s}`, gateway, groups), &s); err != nil {
				t.Fatal(err)
			}
			rows := s.rows()
			last := rows[len(rows)-1]
			if said := last[8].said == "?" && last[9].said == "a gateway" && last[10].said == "not seen"; len(rows) != n || said != (gateway == "true") {
				t.Errorf("gateway %s, groups %s: %v", gateway, groups, rows)
			}
		}
	}
}

// TestServicesSayHowOldALineIs: by the older of its two readings, and not at all where
// one is missing.
func TestServicesSayHowOldALineIs(t *testing.T) {
	const answer = `{"cluster": "prod", "service": "api", "tasks": %s, "target_groups": [{"target_group": "web", "targets": {}, "age_seconds": %s}]}`
	for _, tt := range []struct{ tasks, group, want string }{
		{`{"age_seconds": 2}`, "31", "31.0 s"},
		{`{"age_seconds": 31}`, "2", "31.0 s"},
		{`{"age_seconds": null}`, "2", "2.0 s"}, // it has no task
		{`{"age_seconds": 2}`, "null", "?"},
		{`null`, "2", "?"},
	} {
		var s shownService
		if err := json.Unmarshal(fmt.Appendf(nil, answer, tt.tasks, tt.group), &s); err != nil {
			t.Fatal(err)
		}
		if row := s.rows()[0]; row[7].said != tt.want {
			t.Errorf("tasks %s, group %s: %q, want %q", tt.tasks, tt.group, row[7].said, tt.want)
		}
	}
}

// TestOpenMetricsHasEachNameOnce: OpenMetrics leaves _total out of a counter's name, so that
// a gauge of the same name makes a strict parser refuse all of it.
func TestOpenMetricsHasEachNameOnce(t *testing.T) {
	reg, _ := newMetrics()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range families {
		name := f.GetName()
		if f.GetType() == dto.MetricType_COUNTER {
			name = strings.TrimSuffix(name, "_total")
		}
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for _, name := range []string{"process_resident_memory_bytes", "go_goroutines", "castoff_build_info"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}
