package awsapi

import (
	"cmp"
	"context"
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
	service string // empty: the whole cluster
	desired types.DesiredStatus
	hot     bool // it finds the replacements of failing tasks
	chain   *chain
}

// listInterval is how often a list is walked.
func (o *Observer) listInterval(l *taskList) time.Duration {
	if l.hot {
		return o.opts.HotInterval
	}
	return o.opts.DiscoveryInterval
}

// taskLists are the lists of each cluster and of each hot service.
func (o *Observer) taskLists(now time.Time) []*taskList {
	var lists []*taskList
	for _, c := range o.watchedClusters() {
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
		// Where it has fewer pages than there are hot services, the list of the
		// whole cluster costs less than theirs.
		running := &taskList{cluster: c, desired: types.DesiredStatusRunning, chain: &c.running, hot: len(hot) > max(1, len(c.running.pages))}
		lists = append(lists, running, &taskList{cluster: c, desired: types.DesiredStatusStopped, chain: &c.stopped})
		if running.hot || c.running.page == 0 && o.due(c.running.next(now), now, o.opts.DiscoveryInterval) {
			continue // it is due, and has theirs too
		}
		for _, name := range hot {
			if c.hotLists[name] == nil {
				c.hotLists[name] = new(chain)
			}
			lists = append(lists, &taskList{cluster: c, service: name, desired: types.DesiredStatusRunning, hot: true, chain: c.hotLists[name]})
		}
	}
	return lists
}

// discover walks the lists and reports whether they have new tasks.
func (o *Observer) discover(ctx context.Context, lists []*taskList) (found bool) {
	results := each(lists, func(l *taskList) listed { return o.listTasks(ctx, l) })
	for i, l := range lists {
		r := results[i]
		if o.addTasks(l, r.found) {
			found = true
		}
		ref := string(l.cluster.arn)
		attempted := "ListTasks (desired " + string(l.desired) + ") of " + ref
		if l.service != "" {
			ref = l.cluster.serviceRef(l.service)
			attempted = "ListTasks of " + ref
		}
		switch {
		case r.err != nil:
			o.fail(fleet.GapTaskList, ref, attempted, r.err)
		case r.ended && l.service != "":
			o.clear(fleet.GapTaskList, ref)
		case r.ended && !l.cluster.running.failing && !l.cluster.stopped.failing:
			o.clear(fleet.GapTaskList, ref)
		}
		if r.ended && l.service == "" {
			l.cluster.forget()
		}
	}
	return found
}

func (o *Observer) listTasks(ctx context.Context, l *taskList) listed {
	return o.list(ctx, l.chain, o.buckets[ClusterResourceReadBucket], o.listInterval(l), func(ctx context.Context, token *string) ([]string, *string, error) {
		in := &ecs.ListTasksInput{
			Cluster: aws.String(string(l.cluster.arn)), DesiredStatus: l.desired,
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

// addTasks takes note of what a list has and nobody knew.
func (o *Observer) addTasks(l *taskList, arns []string) (added bool) {
	c := l.cluster
	now := time.Now()
	for _, text := range arns {
		arn := fleet.TaskARN(text)
		if _, ok := c.closed[arn]; ok {
			c.closed[arn] = c.rounds()
			continue
		}
		if arn == "" || c.byARN[arn] != nil {
			continue
		}
		t := &task{clock: clock{known: now}, arn: arn}
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
