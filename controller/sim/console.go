package sim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// TaskWord is what a word does to a task; nil: no word does that.
func TaskWord(word string) func(*Region, fleet.TaskARN) error {
	return map[string]func(*Region, fleet.TaskARN) error{
		"hang": (*Region).Hang, "crash": (*Region).Crash, "kill-front": (*Region).KillFront, "exit": (*Region).Exit,
		"recover": (*Region).Recover, "disconnect": (*Region).Disconnect, "reconnect": (*Region).Reconnect, "interrupt": (*Region).SpotInterrupt,
		"stop": func(r *Region, arn fleet.TaskARN) error { return r.StopTask(arn, "") },
	}[word]
}

// FateOf is the fate that a word says.
func FateOf(word string) (fate Fate, ok bool) {
	fate, ok = map[string]Fate{"answers": Answers, "hangs": StartsHung, "never": NeverStarts, "exits": Exits}[word]
	return fate, ok
}

// Console has people change a region by words. Its methods are safe for concurrent use.
type Console struct {
	region *Region
	mu     sync.Mutex
	lifts  map[string]func() // of faults, by effect and operation
}

// NewConsole makes one.
func NewConsole(r *Region) *Console { return &Console{region: r, lifts: map[string]func(){}} }

// command is what a line begins with, and what it does with the rest.
type command struct {
	words, takes, does string
	do                 func(c *Console, word string, args []string) (string, error)
}

// commands are all that a console knows.
func commands() []command {
	return []command{
		{"services", "", "every service, with its tasks and deployments", (*Console).services},
		{"tasks", "[SERVICE]", "tasks with their health and targets", (*Console).tasks},
		{"hang", "TASK…", "the app answers nothing, and what stands before it goes on accepting", (*Console).task},
		{"crash", "TASK…", "the app refuses, behind what stands before it", (*Console).task},
		{"kill-front", "TASK…", "what stands before the app is dead", (*Console).task},
		{"exit", "TASK…", "an essential container ends", (*Console).task},
		{"recover", "TASK…", "all is well again", (*Console).task},
		{"disconnect", "TASK…", "the agent is cut off from ECS", (*Console).task},
		{"reconnect", "TASK…", "it is there again", (*Console).task},
		{"interrupt", "TASK…", "Spot takes the capacity", (*Console).task},
		{"stop", "TASK…", "a person stops the task", (*Console).task},
		{"deregister", "TASK…", "somebody takes its targets out", (*Console).targets},
		{"register", "TASK…", "somebody puts them in", (*Console).targets},
		{"scale", "SERVICE N", "another desired count", (*Console).scale},
		{"deploy", "SERVICE [FATE]", "a new revision, whose tasks answer, hang, never run or exit: answers, hangs, never, exits", (*Console).deploy},
		{"next", "SERVICE FATE…", "how its next tasks turn out", (*Console).next},
		{"shift", "SERVICE [ZONE]", "a zonal shift, or its end", (*Console).shift},
		{"tag", "SERVICE KEY [VALUE]", "sets a tag, or takes it away", (*Console).tag},
		{"delete", "SERVICE", "deletes a service", (*Console).remove},
		{"fault", "EFFECT [OPERATION] [KEY=VALUE…]", "calls go wrong: " + strings.Join(effects(), ", ") + "; count=N, chance=0.1, resource=TEXT, for=5m, delay=10s", (*Console).fault},
		{"lift", "[EFFECT [OPERATION]]", "they do not any more", (*Console).lift},
		{"help", "", "this", (*Console).help},
	}
}

func effects() (words []string) {
	for _, e := range []Effect{Deny, Throttle, ServerError, Unavailable, NotFound, Stall, LoseRequest, LoseReply, Garbage, Truncate, Delay, DelayReply} {
		words = append(words, strings.ReplaceAll(string(e), "_", "-"))
	}
	return words
}

// Do carries a line out and returns what there is to say, with a line break at its
// end; empty: nothing. A line that is empty, or begins with #, does nothing.
func (c *Console) Do(line string) (string, error) {
	args := strings.Fields(line)
	if len(args) == 0 || strings.HasPrefix(args[0], "#") {
		return "", nil
	}
	for _, cmd := range commands() {
		if cmd.words != args[0] {
			continue
		}
		said, err := cmd.do(c, args[0], args[1:])
		if errors.Is(err, errUsage) {
			return "", fmt.Errorf("%s %s: %w", cmd.words, cmd.takes, err)
		}
		return said, err
	}
	return "", fmt.Errorf("no command %q; help lists them", args[0])
}

var errUsage = errors.New("that is how it is used")

// service finds a service by NAME or CLUSTER/NAME.
func (c *Console) service(name string) (fleet.ServiceID, error) {
	for _, id := range c.region.Services() {
		if name == id.Name || name == id.String() {
			return id, nil
		}
	}
	return fleet.ServiceID{}, fmt.Errorf("no service %q; services lists them", name)
}

// Services are those of the region that have not been deleted.
func (r *Region) Services() []fleet.ServiceID {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	var ids []fleet.ServiceID
	for _, c := range r.clusters {
		for _, s := range c.services {
			ids = append(ids, fleet.ServiceID{Cluster: c.name, Name: s.spec.Name})
		}
	}
	return ids
}

// named finds tasks by SERVICE/N, N counting them since the service began, by their
// id, or by SERVICE/all: those that run.
func (c *Console) named(names []string) (found []TaskInfo, err error) {
	if len(names) == 0 {
		return nil, errUsage
	}
	for _, name := range names {
		before := len(found)
		for _, id := range c.region.Services() {
			short := strings.TrimPrefix(name, id.Cluster+"/")
			for _, t := range c.region.Tasks(id) {
				all := short == id.Name+"/all" && t.Status == fleet.Running && t.Desired == fleet.Running
				if all || short == t.name() || name == t.ARN.ID() {
					found = append(found, t)
				}
			}
		}
		if len(found) == before {
			return nil, fmt.Errorf("no task %q; tasks lists them", name)
		}
	}
	return found, nil
}

// name is what the console calls the task.
func (t TaskInfo) name() string { return fmt.Sprintf("%s/%d", t.Service.Name, t.Number) }

func (c *Console) task(word string, args []string) (string, error) {
	tasks, err := c.named(args)
	for _, t := range tasks {
		err = errors.Join(err, TaskWord(word)(c.region, t.ARN))
	}
	return "", err
}

func (c *Console) targets(word string, args []string) (string, error) {
	tasks, err := c.named(args)
	for _, t := range tasks {
		for _, key := range t.Targets {
			if word == "deregister" {
				err = errors.Join(err, c.region.Deregister(key.Group, []fleet.TargetKey{key}))
			} else {
				err = errors.Join(err, c.region.Register(key.Group, []fleet.Target{{Key: key}}))
			}
		}
	}
	return "", err
}

// of reads SERVICE and hands the rest on, of which there are so many.
func (c *Console) of(args []string, least, most int, do func(id fleet.ServiceID, rest []string) error) (string, error) {
	if len(args) < 1+least || len(args) > 1+most {
		return "", errUsage
	}
	id, err := c.service(args[0])
	if err != nil {
		return "", err
	}
	return "", do(id, args[1:])
}

func (c *Console) scale(_ string, args []string) (string, error) {
	return c.of(args, 1, 1, func(id fleet.ServiceID, rest []string) error {
		n, err := strconv.Atoi(rest[0])
		if err != nil {
			return fmt.Errorf("%q is no number of tasks", rest[0])
		}
		return c.region.Scale(id, n)
	})
}

func fates(words []string) (list []Fate, err error) {
	for _, word := range words {
		f, ok := FateOf(word)
		if !ok {
			return nil, fmt.Errorf("no fate %q: answers, hangs, never or exits", word)
		}
		list = append(list, f)
	}
	return list, nil
}

func (c *Console) deploy(_ string, args []string) (string, error) {
	return c.of(args, 0, 1, func(id fleet.ServiceID, rest []string) error {
		list, err := fates(rest)
		if err != nil {
			return err
		}
		return c.region.DeployRevision(id, Revision{Fate: append(list, Answers)[0]})
	})
}

func (c *Console) next(_ string, args []string) (string, error) {
	return c.of(args, 1, len(args), func(id fleet.ServiceID, rest []string) error {
		list, err := fates(rest)
		if err != nil {
			return err
		}
		return c.region.NextTasks(id, list...)
	})
}

func (c *Console) shift(_ string, args []string) (string, error) {
	return c.of(args, 0, 1, func(id fleet.ServiceID, rest []string) error {
		return c.region.ZonalShift(id, append(rest, "")[0])
	})
}

func (c *Console) tag(_ string, args []string) (string, error) {
	return c.of(args, 1, len(args), func(id fleet.ServiceID, rest []string) error {
		return c.region.Tag(id, rest[0], strings.Join(rest[1:], " "))
	})
}

func (c *Console) remove(_ string, args []string) (string, error) {
	return c.of(args, 0, 0, func(id fleet.ServiceID, _ []string) error { return c.region.DeleteService(id) })
}

func (c *Console) fault(_ string, args []string) (string, error) {
	var f Fault
	var words []string
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		var err error
		switch {
		case !ok:
			words = append(words, arg)
		case key == "count":
			f.Count, err = strconv.Atoi(value)
		case key == "chance":
			f.Chance, err = strconv.ParseFloat(value, 64)
		case key == "for":
			f.For, err = time.ParseDuration(value)
		case key == "delay":
			var d time.Duration
			d, err = time.ParseDuration(value)
			f.Delay = Exactly(d)
		case key == "resource":
			f.Resource = value
		default:
			err = errUsage
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", arg, err)
		}
	}
	if len(words) < 1 || len(words) > 2 {
		return "", errUsage
	}
	if !slices.Contains(effects(), words[0]) {
		return "", fmt.Errorf("no effect %q: %s", words[0], strings.Join(effects(), ", "))
	}
	f.Effect = Effect(strings.ReplaceAll(words[0], "-", "_"))
	f.Operation = append(words, "")[1]
	c.mu.Lock()
	defer c.mu.Unlock()
	name := strings.Join(words, " ")
	if lift := c.lifts[name]; lift != nil {
		lift() // it is set anew
	}
	c.lifts[name] = c.region.Fault(f)
	return "", nil
}

// lift takes faults away: one, all of an effect, or all.
func (c *Console) lift(_ string, args []string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what, lifted := strings.Join(args, " "), 0
	for name, lift := range c.lifts {
		if what == "" || name == what || strings.HasPrefix(name, what+" ") {
			lift()
			delete(c.lifts, name)
			lifted++
		}
	}
	if lifted == 0 && what != "" {
		return "", fmt.Errorf("no fault %q is set", what)
	}
	return "", nil
}

func (c *Console) services(_ string, args []string) (string, error) {
	if len(args) > 0 {
		return "", errUsage
	}
	return table(func(line func(...any)) {
		line("SERVICE", "DESIRED", "RUNNING", "PENDING", "TASK DEFINITION", "ROLLOUT")
		for _, s := range c.region.Snapshot(fleet.Read{}).Services {
			for _, d := range s.Deployments {
				line(s.ID.Name, s.Desired, d.Running, d.Pending, d.Definition.FamilyRevision(), d.Rollout)
			}
		}
	}), nil
}

func (c *Console) tasks(_ string, args []string) (string, error) {
	ids := c.region.Services()
	if len(args) > 0 {
		id, err := c.service(args[0])
		if err != nil || len(args) > 1 {
			return "", cmp.Or(err, errUsage)
		}
		ids = []fleet.ServiceID{id}
	}
	states := map[fleet.TargetKey]fleet.TargetState{}
	for _, g := range c.region.Snapshot(fleet.Read{}).TargetGroups {
		for _, t := range g.Targets {
			states[t.Key] = t.State
		}
	}
	return table(func(line func(...any)) {
		line("TASK", "STATUS", "HEALTH", "ZONE", "TARGETS", "ID")
		for _, id := range ids {
			for _, t := range c.region.Tasks(id) {
				var targets []string
				for _, key := range t.Targets {
					if state := states[key]; state != "" {
						targets = append(targets, key.Address()+" "+string(state))
					}
				}
				line(t.name(), t.Status, t.Health, t.Zone, strings.Join(append(targets, "-")[:max(1, len(targets))], ", "), t.ARN.ID())
			}
		}
	}), nil
}

func (c *Console) help(string, []string) (string, error) {
	return table(func(line func(...any)) {
		for _, cmd := range commands() {
			line(strings.TrimSpace(cmd.words+" "+cmd.takes), cmd.does)
		}
	}) + "A TASK is SERVICE/N, its id, or SERVICE/all.\n", nil
}

// table sets lines in columns.
func table(fill func(line func(...any))) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fill(func(cells ...any) {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell)
		}
		fmt.Fprintln(w)
	})
	_ = w.Flush() // a Builder takes everything
	return b.String()
}
