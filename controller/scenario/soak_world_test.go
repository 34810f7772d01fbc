package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// line is one command of a script, with its input.
type line struct {
	text  string
	input []string
}

func (l line) String() string { return strings.Join(append([]string{l.text}, l.input...), "\n") }

// drawn is a random world that is written as a script: each command is drawn
// when its turn has come, from what the region is like by then.
type drawn struct {
	rng      *rand.Rand
	s        *script
	services []drawnService
	faults   []string // that are set
	hostile  bool     // castoff and AWS are troubled too
	lively   bool     // services are large and what fails may soon recover: much is taken out and put back
	bad      map[string]bool
	lags     lags
}

// lags are how late AWS tells of things in a world, and what castoff's
// configuration says of that: never less.
type lags struct{ reply, report time.Duration }

// drawLags draws from a source of its own: what else is drawn for a seed stays.
func drawLags(seed uint64) (l lags, region string) {
	d := &drawn{rng: rand.New(rand.NewPCG(seed, 78))}
	l.reply = pick(d, time.Second, 2*time.Second, 5*time.Second, 10*time.Second)
	l.report = pick(d, 20*time.Second, time.Minute, 2*time.Minute)
	return l, " reply-age=" + d.span(l.reply) + " health-report-fargate=" + d.span(l.report)
}

// livelySince is the first seed of which a world may be lively: those that failed
// before there were such worlds stay what they were.
const livelySince = 100_000

type drawnService struct{ name, kind string }

// pick is one of some.
func pick[T any](d *drawn, of ...T) T { return of[d.rng.IntN(len(of))] }

// upTo is a duration up to one, to the tenth of a second.
func (d *drawn) upTo(most time.Duration) time.Duration {
	return time.Duration(d.rng.Int64N(int64(most) + 1)).Truncate(100 * time.Millisecond)
}

// span is a range as scripts write it.
func (d *drawn) span(most time.Duration) string {
	low, high := d.upTo(most), d.upTo(most)
	return fmt.Sprintf("%s..%s", min(low, high), max(low, high))
}

// chance is true once in so many times.
func (d *drawn) chance(in int) bool { return d.rng.IntN(in) == 0 }

// beginning is the world before anything happens.
func (d *drawn) beginning(seed uint64) []line {
	d.hostile = !d.chance(3)
	d.lively = seed >= livelySince && !d.chance(3)
	region := fmt.Sprintf("region seed=%d latency=%s", seed, d.upTo(250*time.Millisecond))
	for _, p := range []struct{ name, value string }{
		{"reregister", pick(d, "0s", "0s..10s", "5s..2m0s")},
		{"never-reregister", pick(d, "true", "false")},
		{"detach-cures", pick(d, "true", "false")},
		{"reuse-addresses", pick(d, "0s", "1ms", "20s")},
		{"registration-lag", d.span(pick(d, 20*time.Second, 2*time.Minute, 5*time.Minute))},
		{"propagation-deregister", d.span(pick(d, 20*time.Second, 5*time.Minute))},
		{"react", d.span(pick(d, time.Minute, 3*time.Minute, 6*time.Minute))},
		{"deregister-delay", d.span(10 * time.Second)},
		{"unchecked-unknown", pick(d, "true", "false")},
		{"stamp-on-deactivating", pick(d, "true", "false")},
		{"exit-deactivates", pick(d, "true", "false")},
		{"full-drain-wait", pick(d, "true", "false")},
		{"host-bindings", pick(d, "true", "false")},
	} {
		if d.chance(2) {
			region += " " + p.name + "=" + p.value
		}
	}
	lags, late := drawLags(seed)
	d.lags = lags
	lines := []line{{text: region + late}, {text: "judge"}}
	for i, kind := range d.kinds() {
		svc := drawnService{fmt.Sprintf("s%d", i+1), kind}
		d.services = append(d.services, svc)
		lines = append(lines, line{text: d.service(svc)})
	}
	lines = append(lines, line{text: "castoff", input: d.configuration()})
	return append(lines, line{text: "wait 1m30s"})
}

// kinds are those of two or three services.
func (d *drawn) kinds() []string {
	all := []string{"reference", "reference", "two-groups", "web", "worker", "blue-green", "bridge", "ipv6", "stop-first"}
	d.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:2+d.rng.IntN(2)]
}

func (d *drawn) service(svc drawnService) string {
	text := fmt.Sprintf("service %s/%s desired=%d", pick(d, "prod", "edge"), svc.name, d.desired())
	switch svc.kind {
	case "reference":
	case "stop-first":
		text += " min=50 max=100"
	default:
		text += " " + svc.kind
	}
	if d.chance(4) {
		text += fmt.Sprintf(" grace=%s", d.upTo(4*time.Minute).Truncate(time.Second)) // ECS has it in seconds
	}
	if !d.chance(4) { // else the default, five minutes
		text += " delay=" + pick(d, "10s", "30s", "30s", "1m", "2m")
	}
	if !d.chance(3) {
		text += " cross-zone"
	}
	if d.chance(5) {
		text += fmt.Sprintf(" healthy-count=%d", 1+d.rng.IntN(4))
	}
	if d.chance(3) {
		text += " lb-interval=10s"
	}
	return text
}

func (d *drawn) desired() int {
	if d.lively {
		return pick(d, 6, 8, 10, 12)
	}
	return pick(d, 1, 2, 3, 4, 6, 6, 8, 8, 12)
}

// configuration draws a file around the defaults, not a timid one.
func (d *drawn) configuration() []string {
	floors, many := []int{1, 30, 50, 75}, 2
	if d.lively {
		floors, many = floors[:3], 3
	}
	lines := []string{"mode: " + pick(d, "detach", "detach", "detach", "detach", "observe")}
	polling := ""
	if d.chance(3) {
		polling = ", interval: " + pick(d, "3s", "5s", "8s") + ", hot_interval: " + pick(d, "1s", "2s", "3s")
	}
	lines = append(lines, fmt.Sprintf("polling: {reply_age: %s%s}", d.lags.reply, polling), fmt.Sprintf("timelines: {report_lag: %s}", d.lags.report))
	var limits []string
	for _, l := range []string{
		fmt.Sprintf("confirm: {reads: %d, for: %s}", 1+d.rng.IntN(3), pick(d, "0s", "0s", "4s")),
		fmt.Sprintf("floor: {count: %d, percent: %d}", 1+d.rng.IntN(2), pick(d, floors...)),
		fmt.Sprintf("budget: {service: {least: %d, percent: %d, most: %d}}", 1+d.rng.IntN(2), pick(d, 1, 10, 30), 2+d.rng.IntN(3)),
		fmt.Sprintf("rate: {per_minute: %s, burst: %d}", pick(d, "0.5", "1", "3", "6"), 1+d.rng.IntN(2)),
		fmt.Sprintf("correlated: {count: %d, percent: %d, cooldown: %s}", many+d.rng.IntN(2), pick(d, 40, 50, 80), pick(d, "1m", "2m")),
		"startup: " + pick(d, "15s", "40s", "1m"),
		"during_deployment: " + pick(d, "true", "false"),
		fmt.Sprintf("futile: {replacements: %d, window: 5m}", 2+d.rng.IntN(4)),
		fmt.Sprintf("contested: {tries: %d, spacing: %s}", 1+d.rng.IntN(3), pick(d, "5s", "20s")),
		fmt.Sprintf("recovery: {window: %s, growth: %d, max: 5m}", pick(d, "10s", "30s", "1m"), 1+d.rng.IntN(2)),
	} {
		if !d.chance(3) {
			limits = append(limits, "  "+l)
		}
	}
	if len(limits) > 0 {
		lines = append(append(lines, "limits:"), limits...)
	}
	if d.chance(2) {
		lines = append(lines, fmt.Sprintf("fleet: {rate: {per_minute: %d, burst: %d}, correlated: {count: 3, percent: 60, cooldown: 1m}}", pick(d, 3, 10), 1+d.rng.IntN(4)))
	}
	if d.chance(5) {
		lines = append(lines, "services: [{match: ['*/s1'], mode: "+pick(d, "observe", "detach")+"}]")
	}
	if d.chance(5) {
		until := time.Now().Add(d.upTo(8 * time.Minute)).UTC().Format(time.RFC3339)
		lines = append(lines, fmt.Sprintf("pause: [{scope: all, until: %s, owner: jane, reason: upgrade, reattach: %t}]", until, !d.chance(3)))
	}
	return lines
}

// next draws what happens next, and a while after it.
func (d *drawn) next() []line {
	d.s.names.learn(d.s.region, d.s.services)
	var event line
	if d.hostile && d.chance(3) {
		event = d.trouble()
	} else {
		event = line{text: d.failure()}
	}
	if event.text == "" {
		return []line{{text: fmt.Sprintf("wait %s", 5*time.Second+d.upTo(time.Minute))}}
	}
	if d.lively { // long enough to be found and taken out, short enough to recover before ECS stops it
		return []line{event, {text: fmt.Sprintf("wait %s", 10*time.Second+d.upTo(40*time.Second))}}
	}
	return []line{event, {text: fmt.Sprintf("wait %s", d.upTo(80*time.Second)+100*time.Millisecond)}}
}

// failure is one of the ways in which services come to harm.
func (d *drawn) failure() string {
	svc := d.services[d.rng.IntN(len(d.services))]
	up, down := d.tasks(svc)
	if len(down) > 0 && (d.lively && !d.chance(3) || !d.lively && d.chance(4)) {
		return "recover " + strings.Join(down, " ")
	}
	if len(up) == 0 {
		return ""
	}
	name := pick(d, up...)
	if d.lively && !d.chance(3) {
		return "hang " + name
	}
	switch d.rng.IntN(22) {
	case 0:
		return "crash " + name
	case 1:
		return "kill-front " + name
	case 2:
		return "exit " + name
	case 3:
		return "stop " + name
	case 4:
		return "hang " + strings.Join(up, " ")
	case 5:
		return "hang " + strings.Join(up[:(len(up)+1)/2], " ")
	case 6:
		return "deploy " + svc.name
	case 7:
		d.bad[svc.name] = true
		return "deploy " + svc.name + " hangs"
	case 8, 9:
		return "next " + svc.name + " " + pick(d, "hangs", "hangs hangs", "never", "exits", "answers hangs")
	case 10:
		return fmt.Sprintf("scale %s %d", svc.name, pick(d, 1, 2, 3, 4, 6, 8))
	case 11:
		if svc.kind == "bridge" {
			return "lose " + name
		}
		return "interrupt " + name
	case 12:
		return pick(d, "deregister ", "register ") + name
	default:
		return "hang " + name
	}
}

// tasks are a service's running ones, by name: those that answer, the others.
func (d *drawn) tasks(svc drawnService) (up, down []string) {
	i := slices.IndexFunc(d.s.services, func(id fleet.ServiceID) bool { return id.Name == svc.name })
	for _, t := range d.s.region.Tasks(d.s.services[i]) {
		switch name := d.s.names.of[t.ARN]; {
		case t.Status != fleet.Running || t.Desired != fleet.Running:
		case t.Answering:
			up = append(up, name)
		default:
			down = append(down, name)
		}
	}
	return up, down
}

// trouble is one of the ways in which AWS, people and machines trouble castoff.
func (d *drawn) trouble() line {
	svc := d.services[d.rng.IntN(len(d.services))]
	switch d.rng.IntN(12) {
	case 0, 1, 2, 3:
		if len(d.faults) > 0 && !d.chance(3) {
			fault := d.faults[0]
			d.faults = d.faults[1:]
			return line{text: "lift " + fault}
		}
		return line{text: d.fault()}
	case 4, 5:
		return line{text: fmt.Sprintf("restart after=%s", d.upTo(90*time.Second))}
	case 6:
		return line{text: "end " + pick(d, "before-look", "after-look", "before-call", "after-call", "before-put", "after-put") + pick(d, "", " kill")}
	case 7:
		return line{text: "disk " + pick(d, "broken", "whole")}
	case 8:
		return line{text: "panic"}
	case 9:
		until := time.Now().Add(d.upTo(4 * time.Minute)).UTC().Format(time.RFC3339)
		return line{text: "tag " + svc.name + " castoff:pause", input: []string{pick(d, "until="+until, "until=tomorrow") + " owner=jane reason=upgrade" + pick(d, "", " reattach=no")}}
	case 10:
		return line{text: "tag " + svc.name + " castoff:mode", input: []string{pick(d, "observe", "detach")}}
	default:
		up, down := d.tasks(svc)
		if all := slices.Concat(up, down); len(all) > 0 {
			return line{text: pick(d, "disconnect ", "reconnect ") + pick(d, all...)}
		}
		return line{}
	}
}

// fault has AWS answer badly.
func (d *drawn) fault() string {
	effect := pick(d, sim.Throttle, sim.ServerError, sim.Unavailable, sim.LoseRequest, sim.LoseReply, sim.Truncate, sim.Garbage, sim.Deny, sim.Stall, sim.NotFound)
	operation := pick(d, "", "DescribeTasks", "DescribeTargetHealth", "ListTasks", "ListServices", "DescribeServices", "DescribeTaskDefinition",
		"DeregisterTargets", "DeregisterTargets", "RegisterTargets", "DescribeTargetGroups", "DescribeTargetGroupAttributes")
	what := strings.TrimSpace(strings.ReplaceAll(string(effect), "_", "-") + " " + operation)
	if slices.Contains(d.faults, what) {
		return ""
	}
	d.faults = append(d.faults, what)
	if n := pick(d, 0, 0, 1, 2, 5); n > 0 {
		what += fmt.Sprintf(" count=%d", n)
	}
	return "fault " + what
}

// ending takes all trouble away and lets everything end.
func (d *drawn) ending() []line {
	var lines []line
	for _, fault := range d.faults {
		lines = append(lines, line{text: "lift " + fault})
	}
	if d.hostile {
		lines = append(lines, line{text: "disk whole"}, line{text: "end never"})
	}
	for _, svc := range d.services {
		if d.hostile {
			lines = append(lines, line{text: "tag " + svc.name + " castoff:pause"}, line{text: "tag " + svc.name + " castoff:mode"})
			up, down := d.tasks(svc)
			for _, name := range slices.Concat(up, down) {
				lines = append(lines, line{text: "reconnect " + name})
			}
		}
		if d.bad[svc.name] {
			lines = append(lines, line{text: "deploy " + svc.name})
		}
	}
	if d.hostile {
		lines = append(lines, line{text: "restart"}) // it may have panicked
	}
	return append(lines, line{text: "settle"})
}
