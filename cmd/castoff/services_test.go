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
