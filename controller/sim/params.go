package sim

import "time"

// Range is a duration that differs from one event to the next. It is drawn
// evenly between Min and Max or, when Median is set, as often below it as above
// (measured figures are published that way).
type Range struct {
	Min    time.Duration
	Median time.Duration // 0: the middle
	Max    time.Duration
}

// Exactly is the Range that always gives d.
func Exactly(d time.Duration) Range { return Range{Min: d, Max: d} }

// Params are the lags and habits of AWS that the region imitates, one field
// each. Durations are AWS's, before [Options.Speed]. The tags are those of the
// project's facts: doc, AWS's documentation; user, measured or reported by
// users; open, nobody has shown it, and castoff must be right for any value.
type Params struct {
	// HealthReportFargate is the time from a container check's verdict to
	// DescribeTasks giving it, on Fargate. Open; 0–1 s.
	HealthReportFargate Range
	// HealthReportEC2 is how often the EC2 agent reports health. From the
	// agent's source; 20 s.
	HealthReportEC2 time.Duration
	// UncheckedUnknown makes an essential container without a check turn a task
	// with checked ones UNKNOWN. Doc says true, a user's report (amazon-ecs-agent
	// #4094) that such tasks read HEALTHY; false.
	UncheckedUnknown bool

	// Provisioning is a task's time in PROVISIONING (awsvpc only). User; 4–6 s.
	Provisioning Range
	// Pending is the time from PENDING to the start of the pull. User; 2–3 s.
	Pending Range
	// Pull is the time that the image takes. User: 18.6–29.4 s from createdAt to
	// the registration of targets; 12–20 s, median 13 s.
	Pull Range
	// Activating is the time from the registration of the task's targets to
	// RUNNING. User; 1–2 s.
	Activating Range
	// Boot is the time from RUNNING to the app's first answer; 0.5–2 s.
	Boot Range

	// Tick is how often the service scheduler looks at a service. User: about
	// 10 s; each service has its own phase.
	Tick time.Duration
	// React is the time from a task's UNHEALTHY, or its target's, to the
	// scheduler minding it at its next tick. User: 5.9 / 20.2 / 43.6 s from
	// unhealthy to the replacement's start, the tick included.
	React Range
	// ReactEnded is the same for a task that ended by itself or was stopped by
	// a person. User: 10–30 s, the tick included.
	ReactEnded Range
	// StopDelay is the time from the first tick after the replacement is healthy
	// to the sick task's DEACTIVATING. User: 15.5–26.3 s, the tick included.
	StopDelay Range
	// SteadyWithoutChecks is how long a task with neither a balancer nor a check
	// must run to count as healthy. Doc; 40 s.
	SteadyWithoutChecks time.Duration
	// RestartBackoff is the wait before another task is started after one that
	// never ran; it doubles from Min to Max. Doc gives the maximum, 15 min.
	RestartBackoff Range

	// DeregisterDelay is the time from DEACTIVATING to ECS's DeregisterTargets.
	// Open; 0.
	DeregisterDelay Range
	// FullDrainWait keeps a task in DEACTIVATING for the whole deregistration
	// delay even when its rows went earlier because somebody else deregistered
	// them. Open; false.
	FullDrainWait bool
	// StampOnDeactivating stamps stoppingAt on entering DEACTIVATING, not
	// STOPPING. Open; false.
	StampOnDeactivating bool
	// GracefulStop is how long an answering app takes to end after SIGTERM;
	// a hung one takes its whole stopTimeout. 0.5–1.5 s.
	GracefulStop Range
	// ExitReport is the time from the end of a container to ECS knowing. 0.2–1.5 s.
	ExitReport Range
	// ExitDeactivates has a task whose container ended by itself go through
	// DEACTIVATING, and so wait for its targets to drain. Open; false.
	ExitDeactivates bool
	// SpotNotice is the longest time from a Spot interruption to SIGTERM. Doc; 2 min.
	SpotNotice time.Duration
	// Deprovisioning is a task's time in DEPROVISIONING (awsvpc only). User: 23 s;
	// 15–25 s.
	Deprovisioning Range
	// ReuseAddresses is how long an awsvpc task's address rests after the task has
	// STOPPED before a new task may get it; such addresses are then preferred to
	// unused ones. Open; 0: an address comes back only after all others, which is
	// after some 64,000 tasks.
	ReuseAddresses time.Duration
	// KeepStopped is how long stopped tasks can be described. Doc: at least 1 h.
	KeepStopped time.Duration
	// KeepInactive is how long a deleted service can be described as INACTIVE.
	// Doc: for some time; 1 h.
	KeepInactive time.Duration

	// ReplaceWithNewest has a rolling deployment replace failing tasks of the old
	// revision with new ones, as ECS did until 2025-11. Doc; false.
	ReplaceWithNewest bool
	// TrafficShift is how long ECS waits, in a blue/green deployment behind an
	// NLB, after each change of a listener's weights. Doc; 10 min.
	TrafficShift time.Duration

	// Reregister is the time after which ECS registers a running task's target
	// again that somebody else deregistered. That it does is user, after how long
	// is open; 5–120 s.
	Reregister Range
	// NeverReregister turns that off. Open; false.
	NeverReregister bool
	// DetachCures makes the scheduler forget a target's failed checks once the
	// target is deregistered by somebody else. Open; true.
	DetachCures bool

	// RegistrationLag is the time from RegisterTargets to the first health check.
	// User: 60–180 s; 60–120 s.
	RegistrationLag Range
	// InitialPasses is how many checks a new target must pass; 0 means the
	// group's healthy threshold. Open (doc says one, support says the threshold).
	InitialPasses int
	// PropagationDeregister is the time from DeregisterTargets to the last new
	// flow. User: about 120 s; 100–140 s.
	PropagationDeregister Range
	// PropagationUnhealthy is the same from the balancer's own `unhealthy`. User;
	// 30–40 s.
	PropagationUnhealthy Range
	// PropagationDeregisterALB and PropagationUnhealthyALB are the same of an
	// Application Load Balancer, and RegistrationLagALB its RegistrationLag. User
	// for the first, 15–19 s; open for the others, 0–10 s and 5–15 s.
	PropagationDeregisterALB Range
	PropagationUnhealthyALB  Range
	RegistrationLagALB       Range
	// InitialPassesALB is InitialPasses of an Application Load Balancer. Doc; 1.
	InitialPassesALB int
	// DNSLag is how long clients go on using the address of a zone that DNS no
	// longer gives them, and leave one unused that it gives them again. Doc gives
	// the records' time to live; 60 s.
	DNSLag time.Duration
	// DrainingCounts has draining targets count as registered in the percentages
	// of target_group_health. Open; false.
	DrainingCounts bool
	// ReplyAge is how old a reply of ECS, or of DescribeTargetHealth, is about each
	// thing that it tells of (a task, a service, the rows of a group), drawn anew
	// every time, so that two readings of a task need not come in order (version
	// tells) and ListTasks need not agree with DescribeTasks. What is younger than
	// the reply is not there yet. Doc of ECS, open of ELBv2, how old open of both;
	// 0: every reply is fresh. ReplyAges has operations that differ, by name.
	ReplyAge  Range
	ReplyAges map[string]Range
	// IgnoreUnknownMembers has ECS and ELBv2 take a request with a member that the operation
	// has not, and ignore it. Open; false: it is refused.
	IgnoreUnknownMembers bool
	// HostBindings fills networkBindings in host network mode. Open; false.
	HostBindings bool
}

// DefaultParams gives every field its published value.
func DefaultParams() Params {
	const s = time.Second
	return Params{
		HealthReportFargate:   Range{Max: s},
		HealthReportEC2:       20 * s,
		Provisioning:          Range{Min: 4 * s, Max: 6 * s},
		Pending:               Range{Min: 2 * s, Max: 3 * s},
		Pull:                  Range{Min: 12 * s, Median: 13 * s, Max: 20 * s},
		Activating:            Range{Min: s, Max: 2 * s},
		Boot:                  Range{Min: s / 2, Max: 2 * s},
		Tick:                  10 * s,
		React:                 Range{Min: 5500 * time.Millisecond, Median: 15 * s, Max: 34 * s},
		ReactEnded:            Range{Min: 5 * s, Max: 20 * s},
		StopDelay:             Range{Min: 10 * s, Max: 16 * s},
		SteadyWithoutChecks:   40 * s,
		RestartBackoff:        Range{Min: 10 * s, Max: 15 * time.Minute},
		GracefulStop:          Range{Min: s / 2, Max: 1500 * time.Millisecond},
		ExitReport:            Range{Min: s / 5, Max: 1500 * time.Millisecond},
		SpotNotice:            2 * time.Minute,
		Deprovisioning:        Range{Min: 15 * s, Max: 25 * s},
		KeepStopped:           time.Hour,
		KeepInactive:          time.Hour,
		TrafficShift:          10 * time.Minute,
		Reregister:            Range{Min: 5 * s, Max: 120 * s},
		DetachCures:           true,
		RegistrationLag:       Range{Min: 60 * s, Max: 120 * s},
		PropagationDeregister: Range{Min: 100 * s, Median: 120 * s, Max: 140 * s},
		PropagationUnhealthy:  Range{Min: 30 * s, Max: 40 * s},

		PropagationDeregisterALB: Range{Min: 15 * s, Max: 19 * s},
		PropagationUnhealthyALB:  Range{Max: 10 * s},
		RegistrationLagALB:       Range{Min: 5 * s, Max: 15 * s},
		InitialPassesALB:         1,
		DNSLag:                   60 * s,
	}
}
