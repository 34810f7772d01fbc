// Package sim is a simulated AWS region: ECS and Network Load Balancers as one
// seeded discrete-event model, driven by the same wire protocols that AWS
// speaks, so that an unmodified AWS SDK cannot tell. It serves `castoff demo`
// over loopback, and tests and benchmarks in process through [Doer].
//
// Time is package time's. Nothing runs between calls: each call first carries
// the region forward to the present, event by event. So a region that was built
// inside a testing/synctest bubble lives in the bubble's time, and a day passes
// as fast as its events can be computed. A program that has no bubbles gives it a
// time of its own by [Options.Now], and may do without the wire, which costs more
// than the world: [Region.Snapshot], [Region.Deregister], [Region.Register].
//
// What is inside tasks and on the wire to them can be real: [Options.Runtime] starts
// and stops their containers and makes their checks. The failures that are done to
// a region then only say what was done to the real thing, for the truth's sake.
//
// The region keeps the truth ([Region.Truth]), so that what a daemon says can
// be compared with what happened.
//
// # What is modelled, and how sure we are
//
// doc: AWS documentation. user: measured or reported by users. open: nobody has
// shown it. The field of [Params] or of the specs that moves each is in the last
// column.
//
//	behaviour                                          sure   moved by
//	container check: interval, timeout, retries,
//	  startPeriod                                      doc    ContainerSpec.Check
//	a hung app costs a check its whole timeout         doc
//	EC2 agent reports health on a ticker, 20 s         doc    HealthReportEC2
//	Fargate reports health after 0–1 s                 open   HealthReportFargate
//	a disconnected agent's last health stays           doc    Region.Disconnect
//	task health over essential containers              doc
//	  …unchecked ones do not make a task UNKNOWN       user   UncheckedUnknown
//	lifecycle, its timestamps, version                 doc
//	  how long each step of a start takes              user   Provisioning … Boot
//	scheduler looks every 10 s                         user   Tick
//	unhealthy → replacement starts, 6–44 s             user   React
//	a task that ended is replaced after 10–30 s        user   ReactEnded
//	replacement first within maximumPercent, else
//	  one sick task stopped first, at random           doc    ServiceSpec
//	no replacement in the grace period                 doc    ServiceSpec.Grace
//	healthy: check and targets; neither: 40 s          doc    SteadyWithoutChecks
//	restart throttle for tasks that never ran; ended
//	  by a new revision                                doc    RestartBackoff
//	rolling deployments within min and max percent     doc    ServiceSpec, Region.Deploy
//	  failing tasks of the old revision are replaced
//	  by the same revision, since 2025-11              doc    ReplaceWithNewest
//	  …unless the new one carries the service, or they
//	  never were healthy                               open
//	  tasks drain after the deployment has ended       user
//	circuit breaker at half of desired, 3–200          doc    ServiceSpec.Breaker, Rollback
//	  rolling back brings the old deployment's id back open
//	  no rollback, or none to go back to: the old
//	  revision is kept up                              open
//	blue/green: all of the new revision comes up in the
//	  alternate group, then production traffic shifts,
//	  then both run for the bake time                  doc    ServiceSpec.Strategy, BakeTime
//	  10 min at each shift behind an NLB               doc    TrafficShift
//	  traffic shifts back at once on a rollback        open
//	CODE_DEPLOY, EXTERNAL: task sets, each kept at its
//	  own number                                       doc    Region.CreateTaskSet
//	  each within maximumPercent of its own            open
//	  DRAINING until its last task has STOPPED         open
//	DAEMON: a task on each container instance          doc    Region.AddInstances, LoseInstance
//	  a lost host's tasks are STOPPED at once          open
//	a task waits when its port is taken on every host  doc    ServiceSpec.NetworkMode
//	zone rebalancing: a task at a time, replacement
//	  first; off unless asked for                      doc    ServiceSpec.Rebalance
//	a gateway's route to a service, in the list alone  doc    ServiceSpec.Gateway
//	deleted services: DRAINING, INACTIVE, gone         doc    Region.DeleteService, KeepInactive
//	a removed target group keeps tasks from ever being
//	  healthy                                          user   Region.RemoveGroup
//	addresses come back after all others, or sooner    open   ReuseAddresses
//	replacement healthy → sick task told to stop       user   StopDelay
//	no way back once the replacement is healthy        user
//	a task that recovers before stays, the surplus
//	  is stopped: what is starting, else any           open
//	DEACTIVATING deregisters at once                   open   DeregisterDelay
//	DEACTIVATING lasts until the rows are gone         doc
//	  …also when somebody deregistered them earlier    open   FullDrainWait
//	  …and what somebody registers then is deregistered
//	  as well                                          open
//	stoppingAt is stamped on STOPPING                  open   StampOnDeactivating
//	a hung app sits out its stopTimeout                doc    ContainerSpec.StopTimeout
//	an exit skips DEACTIVATING                         open   ExitDeactivates
//	Spot: deregistered, SIGTERM after 2 min at most    doc    SpotNotice
//	DEPROVISIONING takes 15–25 s                       user   Deprovisioning
//	stopped tasks are describable for 1 h              doc    KeepStopped
//	ECS registers a target again that another took out user   Reregister, NeverReregister
//	  …and forgets that its checks failed              open   DetachCures
//	apps: hung (accepts TCP, silent), crashed, front
//	  dead, slow, flapping                                    Region.Hang … Flap
//	  …failing in one zone, or with a dependency              Region.Outage
//	  …hanging under more flows than it bears                 ServiceSpec.Capacity
//	target types ip, instance, alb, lambda           doc    Region.AddTargetGroup
//	registration → first check 60–120 s              user   RegistrationLag
//	  …with an ALB 5–15 s                            open   RegistrationLagALB
//	initial until the healthy threshold is passed    open   InitialPasses
//	  …with an ALB until one check is passed         doc    InitialPassesALB
//	TCP check sees the front only, HTTP the app,
//	  another port the container that has it         doc    GroupSpec.Check
//	NLB gives one reason for failed checks, an ALB
//	  three                                          doc    GroupSpec.Balancer
//	draining lasts the deregistration delay          doc    GroupSpec.DeregistrationDelay
//	unused: no balancer, or not in the zone          doc    GroupSpec.Unattached, ServiceSpec.Zones
//	unavailable and whatever else AWS may say        doc    Region.Say
//	new flows after deregistration 100–140 s, after
//	  unhealthy 30–40 s                              user   PropagationDeregister, PropagationUnhealthy
//	  …with an ALB 15–19 s                           user   PropagationDeregisterALB
//	  …and 0–10 s                                    open   PropagationUnhealthyALB
//	a target registered again while it drains goes
//	  on getting flows until the nodes have heard    open
//	nodes take a target that is healthy at once      open
//	cross-zone: NLB off, ALB on                      doc    ServiceSpec.CrossZone, GroupSpec.Attributes
//	  …changed later, of a group or its balancer     doc    Region.SetGroupAttributes, SetBalancerAttributes
//	a zone below its dns_failover threshold leaves
//	  DNS, all zones below it stay                   doc    GroupSpec.Attributes
//	  …its clients leave after 60 s                  doc    DNSLag
//	below unhealthy_state_routing, and without any
//	  healthy target, new flows go to all            doc    GroupSpec.Attributes
//	percentages count what drains as registered      open   DrainingCounts
//	streams stay when a target is deregistered, end
//	  with the delay if connection termination says
//	  so (not when it is registered again before: open); are reset once nodes know it unhealthy,
//	  not in fail-open                               doc    GroupSpec.Attributes
//	a zonal shift: override, no new flows, streams
//	  stay; without cross-zone DNS alone does it     doc    Region.ZonalShift
//	clients: flows spread evenly over the zones in
//	  DNS and over a node's targets                  open   Traffic
//	host network mode has no networkBindings           open   HostBindings
//	request limits                                     doc    Options.Throttle
//	  DescribeTaskSets counts as a service read        open
//	ECS's replies tell of some time ago, each thing of
//	  its own; fresh unless asked for                  doc    ReplyAge, ReplyAges
//	  DescribeTargetHealth's as well                   open   ReplyAge, ReplyAges
//	a request with an unknown member is refused        open   IgnoreUnknownMembers
//	a service's events, a hundred at most, of zone
//	  rebalancing too                                  doc
//	  …at the instants at which things are done        open
//	an ARN of another cluster is refused               user
//	what goes wrong with requests                             Region.Fault
//
// The API changes what tools change: UpdateService (desired count, task definition,
// all tasks anew), RunTask, StopTask, tags, attributes, targets. EC2 tells of the
// network interfaces and hosts of tasks, and of nothing else. A member of a request
// that has no effect here is refused.
//
// Not modelled: flows one by one, stickiness, clients' zonal affinity, passive
// checks, slow start, idle timeouts, canary and linear deployments, draining
// container instances, task protection.
package sim
