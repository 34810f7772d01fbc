package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxEvents is how many of its newest events DescribeServices gives of a service.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
const maxEvents = 100

// What the scheduler says of a service, # being a number.
//
// Sources: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
// and https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-rebalancing-event-messages-list.html
const (
	eventSteady       = "has reached a steady state."
	eventStarted      = "has started # tasks:"
	eventStopped      = "has stopped # running tasks:"
	eventDraining     = "has begun draining connections on # tasks."
	eventRegistered   = "registered # targets in "
	eventDeregistered = "deregistered # targets in "
	eventMovedTo      = "has started # tasks in ZONE to AZ Rebalance:"
	eventMovedFrom    = "has stopped # running tasks in ZONE due to AZ rebalancing:"
	eventNoRoom       = "was unable to place a task because no container instance met all of its requirements."
	eventNeverStarts  = "is unable to consistently start tasks successfully."
)

// serviceEvent is one thing that the scheduler says. What it does at one instant to
// several tasks is one event.
type serviceEvent struct {
	id    string
	at    time.Time
	text  string
	n     int
	tasks []string // it names, by id
}

type eventJSON struct {
	ID      string `json:"id"`
	Created epoch  `json:"createdAt"`
	Message string `json:"message"`
}

// tell adds to the service's events: something that was done to so many things of
// one kind, or just said.
func (s *service) tell(text string, tasks ...*task) {
	s.touch()
	e := s.sameEvent(text)
	if e == nil {
		s.told++
		// Not drawn: to say something changes nothing.
		e = &serviceEvent{id: fmt.Sprintf("%08x-0000-4000-8000-%012x", s.seq, s.told), at: s.region.now, text: text}
		s.events = append(s.events, e)
		if len(s.events) > maxEvents {
			s.events = s.events[1:]
		}
	}
	e.n++
	for _, t := range tasks {
		e.tasks = append(e.tasks, t.id)
	}
}

// inZone is what is said of tasks of a zone.
func inZone(text, zone string) string { return strings.Replace(text, "ZONE", zone, 1) }

// sameEvent is the event of this instant that says the same; nil: there is none.
func (s *service) sameEvent(text string) *serviceEvent {
	for i := len(s.events) - 1; i >= 0 && s.events[i].at.Equal(s.region.now); i-- {
		if s.events[i].text == text {
			return s.events[i]
		}
	}
	return nil
}

// repeat adds an event that the scheduler has reason to at each of its ticks, when it
// is not the last thing that it said.
func (s *service) repeat(text string) {
	if last := len(s.events) - 1; last < 0 || s.events[last].text != text {
		s.tell(text)
	}
}

// tellSick says why the scheduler is about to replace a task.
func (s *service) tellSick(t *task) {
	if t.told {
		return
	}
	t.told = true
	group, balancer := strings.CutPrefix(t.reason, sickTargets)
	if !balancer {
		s.tell("(task " + t.id + ") failed container health checks.")
		return
	}
	for _, target := range t.targets {
		if "(target-group "+string(target.group.arn)+")" == group {
			s.tell("(task " + t.id + ") (port " + strconv.Itoa(target.key.Port) + ") is unhealthy in " + group + " due to (reason Health checks failed).")
		}
	}
}

// eventsJSON are the service's events, the newest first.
func (s *service) eventsJSON() []eventJSON {
	list := make([]eventJSON, 0, len(s.events))
	for i := len(s.events) - 1; i >= 0; i-- {
		e := s.events[i]
		list = append(list, eventJSON{e.id, epoch(e.at), "(service " + s.spec.Name + ") " + e.message()})
	}
	return list
}

func (e *serviceEvent) message() string {
	said := strings.Replace(e.text, "#", strconv.Itoa(e.n), 1)
	for _, id := range e.tasks {
		said += " (task " + id + ")"
	}
	if len(e.tasks) > 0 {
		said += "."
	}
	return said
}
