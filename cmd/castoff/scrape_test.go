package main

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gated is a metric that is told only once the gate is open.
type gated struct{ arrived, gate chan struct{} }

func (g gated) Describe(ch chan<- *prometheus.Desc) { ch <- gatedDesc }
func (g gated) Collect(ch chan<- prometheus.Metric) {
	g.arrived <- struct{}{}
	<-g.gate
	ch <- prometheus.MustNewConstMetric(gatedDesc, prometheus.GaugeValue, 1)
}

var gatedDesc = prometheus.NewDesc("gated", "Told once the gate is open.", nil, nil)

// So many may scrape at a time, and what comes on top is told so instead of waiting: a
// scraper that asks in a loop must not take the passes' processor.
func TestScrapesAtATime(t *testing.T) {
	t.Parallel()
	g := gated{make(chan struct{}, scrapesMost), make(chan struct{})}
	reg := prometheus.NewRegistry()
	reg.MustRegister(g)
	h := exposition(reg)
	scrape := func() int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Code
	}
	var scrapes sync.WaitGroup
	for range scrapesMost {
		scrapes.Go(func() {
			if code := scrape(); code != http.StatusOK {
				t.Errorf("answered %d", code)
			}
		})
	}
	for range scrapesMost {
		<-g.arrived
	}
	if code := scrape(); code != http.StatusServiceUnavailable {
		t.Errorf("one too many is answered %d", code)
	}
	close(g.gate)
	scrapes.Wait()
}
