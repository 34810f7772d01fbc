package awsapi

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// taskList is one list that finds new tasks. Tasks on their way out are
// wanted STOPPED and no longer in the default list, and a task that came and
// went between two reads is in the other one only, for at least an hour.
type taskList struct {
	cluster *cluster
	service string        // empty: the whole cluster
	stopped bool          // of tasks wanted STOPPED
	every   time.Duration // how often it is walked while it is short
	hot     bool          // it finds the replacements of failing tasks
	chain   *chain
}

func (l *taskList) desired() types.DesiredStatus {
	if l.stopped {
		return types.DesiredStatusStopped
	}
	return types.DesiredStatusRunning
}

// A list of STOPPED tasks is as long as an hour of roll-outs, crash loops and
// batch jobs, and hardly ever has one that nobody knew. So it comes after what
// is leisure times less late, and a long one is walked less often: it costs at
// most one call an Interval, but is walked well within the hour for which ECS
// keeps its tasks.
const (
	leisure              = 4
	stoppedWithinSeconds = 15 * 60
)

// listInterval is how often a list is walked.
func (o *Observer) listInterval(l *taskList) time.Duration {
	if !l.stopped {
		return l.every
	}
	length := time.Duration(len(l.chain.pages))
	return max(l.every, min(length*o.opts.Interval, o.ofSeconds(stoppedWithinSeconds)))
}

// listTurns are the pages of a list that are due.
func (o *Observer) listTurns(l *taskList, now time.Time) []turn {
	turns := l.chain.turns(o, now, o.listInterval(l), l.hot)
	if l.stopped {
		for i := range turns {
			turns[i].late /= leisure
		}
	}
	return turns
}

// taskLists are the lists of each cluster, of each hot service, and of each
// service that has lost a task.
func (o *Observer) taskLists(now time.Time) []*taskList {
	var lists []*taskList
	for _, c := range o.watchedClusters() {
		lists = append(lists, o.runningLists(c, now)...)
		lists = append(lists, o.stoppedLists(c, now)...)
	}
	return lists
}

func (o *Observer) runningLists(c *cluster, now time.Time) []*taskList {
	var hot []string
	for id := range o.hot {
		if s := o.services[id]; s != nil && s.cluster == c {
			hot = append(hot, id.Name)
		}
	}
	slices.Sort(hot)
	for name := range c.hotLists {
		if _, ok := slices.BinarySearch(hot, name); !ok {
			delete(c.hotLists, name)
		}
	}
	all := &taskList{cluster: c, every: o.opts.DiscoveryInterval, chain: &c.running}
	lists := []*taskList{all}
	// Where it has fewer pages than there are hot services, the list of the
	// whole cluster costs less than theirs.
	if all.hot = len(hot) > max(1, len(c.running.pages)); all.hot {
		all.every = o.opts.HotInterval
		return lists
	}
	if c.running.page == 0 && o.due(c.running.next(now), now, o.opts.DiscoveryInterval) {
		return lists // it is due, and has theirs too
	}
	for _, name := range hot {
		if c.hotLists[name] == nil {
			c.hotLists[name] = new(chain)
		}
		lists = append(lists, &taskList{cluster: c, service: name, every: o.opts.HotInterval, hot: true, chain: c.hotLists[name]})
	}
	return lists
}

// stoppedLists are that of the whole cluster, an inventory, and those of the
// services that have lost a task since theirs was last walked.
func (o *Observer) stoppedLists(c *cluster, now time.Time) []*taskList {
	var asked []*taskList
	for _, name := range slices.Sorted(maps.Keys(c.losses)) {
		l := c.losses[name]
		list := &taskList{cluster: c, service: name, stopped: true, every: o.opts.DiscoveryInterval, chain: &l.chain}
		switch {
		case l.asks(c):
			asked = append(asked, list)
		case now.Sub(l.begun()) >= o.listInterval(list): // it may be asked again at once
			delete(c.losses, name)
		}
	}
	all := &taskList{cluster: c, stopped: true, every: o.opts.InventoryInterval, chain: &c.stopped}
	if len(asked) > max(1, len(c.stopped.pages)) { // it costs less than theirs
		all.every = o.opts.DiscoveryInterval
		for _, list := range asked {
			*list.chain = chain{}
		}
		asked = nil
	}
	return append(asked, all)
}

// loss is a service that a task has left. Others may have come and gone with
// it, and are in the list of those wanted STOPPED alone.
type loss struct {
	chain           // that list, of the service
	at    time.Time // when a task was last seen to have left
}

// asks reports whether neither the service's list nor the cluster's has been
// walked from its beginning since, or the service's is not at its end.
func (l *loss) asks(c *cluster) bool {
	return l.page > 0 || len(l.pages) > 0 && l.pages[0].failed ||
		!l.begun().After(l.at) && !c.stopped.begun().After(l.at)
}

// lose notes that a task has left a service.
func (c *cluster) lose(service string) {
	if c.losses[service] == nil {
		c.losses[service] = new(loss)
	}
	c.losses[service].at = time.Now()
}

// discover walks the lists and reports whether they have new tasks.
func (o *Observer) discover(ctx context.Context, lists []*taskList) (found bool) {
	results := each(lists, func(l *taskList) listed { return o.listTasks(ctx, l) })
	for i, l := range lists {
		r := results[i]
		if o.addTasks(l, r.found) {
			found = true
		}
		if r.ended {
			l.noteUnlisted()
		}
		if r.err == nil && len(l.cluster.byARN) >= mostTasks {
			r.err = gapf(fleet.Invalid, "more than %d tasks, and castoff follows no more in a cluster", mostTasks)
		}
		ref := string(l.cluster.arn)
		if l.service != "" {
			ref = l.cluster.serviceRef(l.service)
		}
		switch {
		case l.service != "" && l.stopped && Classify(r.err) == fleet.NotFound:
			delete(l.cluster.losses, l.service) // the service has gone: the cluster's list has its tasks
		case r.err != nil:
			o.fail(fleet.GapTaskList, ref, "ListTasks (desired "+string(l.desired())+") of "+ref, r.err)
		case r.seen && !l.cluster.listFails(l.service):
			o.clear(fleet.GapTaskList, ref)
		}
		if r.ended && l.service == "" {
			l.cluster.forget()
		}
	}
	return found
}

// listFails reports whether the last try of a list of the service failed, or of
// the cluster when the service is empty.
func (c *cluster) listFails(service string) bool {
	if service == "" {
		return c.running.failing || c.stopped.failing
	}
	running, lost := c.hotLists[service], c.losses[service]
	return running != nil && running.failing || lost != nil && lost.failing
}

func (o *Observer) listTasks(ctx context.Context, l *taskList) listed {
	return o.list(ctx, l.chain, o.buckets[ClusterResourceReadBucket], o.listInterval(l), "task", func(ctx context.Context, token *string) ([]string, *string, error) {
		in := &ecs.ListTasksInput{
			Cluster: aws.String(string(l.cluster.arn)), DesiredStatus: l.desired(),
			MaxResults: aws.Int32(tasksAPage), NextToken: token,
		}
		if l.service != "" {
			in.ServiceName = aws.String(l.service)
		}
		out, _, err := ask(ctx, o.ecs.ListTasks, in)
		if err != nil {
			return nil, nil, err
		}
		return out.TaskArns, out.NextToken, noList(out.TaskArns, "tasks")
	})
}

// noteUnlisted notes, at the end of a list, which tasks that read MISSING it had not.
// One page of a long list may have been read before the task was missed: the whole
// walk has to have begun since.
func (l *taskList) noteUnlisted() {
	begun := l.chain.begun()
	for _, t := range l.cluster.tasks {
		switch {
		case t.missing == 0 || !begun.After(t.missingSince) || !begun.After(t.listed):
		case l.service != "" && l.service != t.service.Name:
		case l.stopped:
			t.unlisted.stopped = true
		default:
			t.unlisted.running = true
		}
	}
}

// addTasks takes note of what a list has and nobody knew, and that it has what
// somebody knew.
func (o *Observer) addTasks(l *taskList, arns []string) (added bool) {
	c := l.cluster
	now := time.Now()
	for _, text := range arns {
		arn := fleet.TaskARN(text)
		if _, ok := c.closed[arn]; ok {
			c.closed[arn] = c.rounds()
			continue
		}
		if arn == "" {
			continue
		}
		if t := c.byARN[arn]; t != nil {
			t.listed, t.unlisted = now, struct{ running, stopped bool }{}
			continue
		}
		if len(c.byARN) >= mostTasks {
			continue
		}
		t := &task{clock: clock{known: now}, arn: arn, listed: now}
		if l.service != "" {
			t.service = fleet.ServiceID{Cluster: c.arn.Name(), Name: l.service}
		}
		c.byARN[arn] = t
		c.tasks = append(c.tasks, t)
		added = true
	}
	if added {
		slices.SortFunc(c.tasks, func(a, b *task) int { return cmp.Compare(a.arn, b.arn) })
	}
	return added
}

// rounds counts how often both lists of the cluster have been walked.
func (c *cluster) rounds() int { return min(c.running.rounds, c.stopped.rounds) }

// forget forgets closed tasks that no list has had for two rounds.
func (c *cluster) forget() {
	for arn, round := range c.closed {
		if round < c.rounds()-2 {
			delete(c.closed, arn)
		}
	}
}
