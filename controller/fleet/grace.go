package fleet

import "time"

// Grace is the time that a task is given to start. ECS ignores failures of its checks
// in it, those of its containers as well as those of its balancer's.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html
// and https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
type Grace struct {
	// Service is healthCheckGracePeriodSeconds; Container the longest startPeriod of an
	// essential container, which covers container checks alone, and Of that container.
	Service, Container time.Duration
	Of                 string
	// Known is false where the service or the task definition has not been read: it
	// may be longer then.
	Known bool
}

// Grace is what a task is given to start.
func (s *Snapshot) Grace(t *Task) Grace {
	svc, def := s.Service(t.Service), s.Definitions[t.Definition]
	g := Grace{Known: svc != nil && def != nil}
	if svc != nil {
		g.Service = svc.Grace
	}
	if def == nil {
		return g
	}
	for i := range def.Containers {
		if c := &def.Containers[i]; c.Essential && c.Check != nil && c.Check.StartPeriod > g.Container {
			g.Container, g.Of = c.Check.StartPeriod, c.Name
		}
	}
	return g
}

// Checks is for how long container checks do not count.
func (g Grace) Checks() time.Duration { return max(g.Service, g.Container) }

// Booting reports that a task was still being given its time at an instant: the time
// is not over, or has not begun. A task that runs is given none where AWS does not tell
// since when, nor one that starts in the future, by a clock that was set back.
func (t *Task) Booting(grace time.Duration, at time.Time) bool {
	if t.Started.IsZero() {
		return grace > 0 && t.LastStatus != Running
	}
	return at.Before(t.Started.Add(grace)) && !at.Before(t.Started.Add(-skew))
}

// skew is how far castoff's clock and AWS's are taken to be apart at most.
const skew = time.Minute
