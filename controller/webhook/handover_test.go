package webhook

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// laborious is a receiver for which it takes so long to find out whether it wants
// to know of a change of a cluster's.
func laborious(takes time.Duration) Receiver {
	r := hook("ops")
	r.Rule.About = func(fleet.ServiceID) bool {
		time.Sleep(takes)
		return true
	}
	return r
}

// pausedCluster is like paused, and receivers are asked whether they want it.
func pausedCluster(n int) notify.State {
	s := paused(n)
	s.Pauses[0].Scope, s.Pauses[0].Service = policy.ScopeCluster, fleet.ServiceID{Cluster: "prod"}
	return s
}

// said are the numbers of the pauses that were told, and of their ends.
type said []string

func (s *said) RoundTrip(r *http.Request) (*http.Response, error) {
	var body bytes.Buffer
	_, _ = body.ReadFrom(r.Body)
	_, number, _ := strings.Cut(body.String(), "number ")
	number, _, _ = strings.Cut(number, ":")
	if strings.Contains(body.String(), `"type":"unpaused"`) {
		number = "-" + number
	}
	*s = append(*s, number)
	return says(http.StatusOK)
}

// SAFETY: working out what there is to tell takes no time of a pass, however long
// it takes. What is skipped for it is counted; what holds is told all the same, and
// so is the end of what was told.
func TestSafetyNoPassWaitsForTelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got said
		s, _ := newSender(t, &got, laborious(time.Minute))
		skipped := 0
		for i := range 10 {
			before := time.Now()
			skipped += s.Tell(pausedCluster(i))
			if took := time.Since(before); took != 0 {
				t.Fatalf("a pass waited %s", took)
			}
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		// The first is being worked out while the others come.
		if want := "0 6 -0 7 -6 8 -7 9 -8"; strings.Join(got, " ") != want || skipped != 9-handoverLength {
			t.Errorf("told %v, want %s; %d passes skipped", got, want, skipped)
		}
		if n := s.Tell(pausedCluster(9)); n != 0 {
			t.Errorf("%d passes skipped when nothing waits", n)
		}
		_ = s.Stop(t.Context())
	})
}

// A stop has what the last passes changed worked out and sent, as far as there is
// time; what there is none for is said.
func TestStopTellsOfTheLastPasses(t *testing.T) {
	for _, tt := range []struct {
		takes time.Duration
		told  string
		left  string // in the log
	}{
		{takes: 0, told: "0 1 -0 2 -1"},
		{takes: 100 * time.Millisecond, told: "0 1 -0 2 -1"},
		{takes: 3 * time.Second, told: "0", left: "castoff stops passes=1"}, // the second is being worked out when time is up
	} {
		t.Run(fmt.Sprint(tt.takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got said
				var log bytes.Buffer
				c := &counts{n: map[string]int{}}
				s, err := New(Options{
					Receivers: []Receiver{laborious(tt.takes)}, Version: "test", Transport: &got, Recorder: c,
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
				})
				if err != nil {
					t.Fatal(err)
				}
				s.Start()
				for i := range 3 {
					s.Tell(pausedCluster(i))
				}
				if err := s.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				if strings.Join(got, " ") != tt.told {
					t.Errorf("told %v, want %s", got, tt.told)
				}
				if out := strings.ReplaceAll(log.String(), `"`, ""); tt.left != "" != strings.Contains(out, "passes=") || !strings.Contains(out, tt.left) {
					t.Errorf("logged\n%s", out)
				}
				if dropped := c.of("ops paused dropped") + c.of("ops unpaused dropped"); tt.left != "" && dropped != 2 {
					t.Errorf("%d dropped: what came too late is not counted", dropped)
				}
			})
		})
	}
}

// A fault in working out what to tell ends neither castoff nor the telling.
func TestPanicInTelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got said
		r := hook("ops")
		r.Rule.About = func(fleet.ServiceID) bool {
			if len(got) == 0 {
				got = append(got, "panic")
				panic("no such service")
			}
			return true
		}
		s, _ := newSender(t, &got, r)
		for i := range 2 {
			s.Tell(pausedCluster(i))
			synctest.Wait()
		}
		if strings.Join(got, " ") != "panic 1 -0" {
			t.Errorf("told %v", got)
		}
		_ = s.Stop(t.Context())
	})
}
