package awsapi

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// A STOPPED task stays in the Snapshot for so many of AWS's seconds and so many
// more passes, whichever is longer, so that nobody who reads Snapshots misses it.
const (
	stoppedStaysSeconds = 60
	stoppedStaysPasses  = 3
)

// mostTasks is how many tasks of a cluster are followed: those of its longest list,
// which lasts until what it no longer has is given up.
const mostTasks = maxPages * tasksAPage

// missingStaysSeconds is for how many of AWS's seconds a task must have read
// MISSING before it leaves the Snapshot, besides the confirmations and the lists;
// see task.gone.
const missingStaysSeconds = 15

// task is what the Observer keeps of a task from the list that first had it
// until it leaves the Snapshot.
type task struct {
	clock
	arn     fleet.TaskARN
	service fleet.ServiceID // also before the first reading, when a service's list had it
	value   *fleet.Task     // nil until read
	addr    addresses
	moved   bool      // addr is newer than value's targets
	unread  time.Time // since when tries to read it fail; zero: the last did not
	said    *said     // the reply that value and addr are from, if they are all of what it said
	// remembered says that value's targets are another process's, and nobody has
	// read yet where the task is.
	remembered bool
	// awaited says that another process knew it, and left no reading of it.
	awaited bool

	older        int // readings in a row that had an older version than value
	missing      int // readings in a row that said MISSING
	missingSince time.Time
	listed       time.Time // when a list last had it
	// unlisted: no task wanted RUNNING, or STOPPED, was this one, by a list that was
	// walked whole since missingSince and listed.
	unlisted struct{ running, stopped bool }

	stoppedRead time.Time // when it was first read STOPPED
	stoppedPass int
}

// failing reports that the last reading says UNHEALTHY and something runs.
func (t *task) failing() bool { return t.value != nil && t.value.Failing() && !t.value.Gone() }

// final reports that nothing more is to be read.
func (t *task) final() bool { return t.value != nil && t.value.Gone() }

// readTasks finds new tasks and describes those that are due. Lists and
// descriptions take from one bucket, so they share the tokens first.
func (o *Observer) readTasks(ctx context.Context) {
	b := o.buckets[ClusterResourceReadBucket]
	o.dropTasks()
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	lists := o.taskLists(now)
	batches := o.taskBatches(now)
	streak := b.streak
	turns := make([]turn, 0, len(batches))
	for _, r := range batches {
		turns = append(turns, r.turn)
	}
	var pages []*taskList // of each turn after those of the batches
	for _, l := range lists {
		for _, t := range o.listTurns(l, now) {
			turns, pages = append(turns, t), append(pages, l)
		}
	}
	granted := b.share(turns)
	for i, l := range pages {
		if granted[len(batches)+i] {
			l.chain.granted++
		}
	}
	paid := 0
	for _, ok := range granted[:len(batches)] {
		if ok {
			paid++
		}
	}
	if o.discover(ctx, lists) {
		batches = o.taskBatches(time.Now())
	}
	o.describe(ctx, b, batches, streak, paid)
}

// describe makes the calls that were paid for beforehand, in the order in which
// they are most wanted now, and more if there are tokens left.
func (o *Observer) describe(ctx context.Context, b *bucket, batches []read, streak, paid int) {
	turns := make([]turn, len(batches))
	for i := range batches {
		turns[i] = batches[i].turn
	}
	granted := make([]bool, len(batches))
	for n, i := range inTurn(turns, streak) {
		if granted[i] = n < paid || b.take(); !granted[i] {
			break
		}
	}
	o.run(ctx, b, batches, granted)
}

// taskBatches cuts the tasks that are due into calls. A call costs the same for
// one task as for a hundred, so its empty seats go to those that are due next.
func (o *Observer) taskBatches(now time.Time) []read {
	var reads []read
	for _, c := range o.watchedClusters() {
		seats, due := o.seats(c, now)
		for from := 0; from < due; from += tasksACall {
			part := seats[from:min(from+tasksACall, len(seats))]
			r := read{due: min(tasksACall, due-from), clocks: make([]*clock, len(part))}
			tasks := make([]*task, len(part))
			for i, s := range part {
				tasks[i], r.clocks[i] = s.task, &s.task.clock
				if i < r.due {
					r.hot = r.hot || s.rank <= rankHot
					r.late = max(r.late, s.late)
				}
			}
			r.call = func(ctx context.Context) func() { return o.describeTasks(ctx, c, tasks) }
			reads = append(reads, r)
		}
	}
	return reads
}

// Ranks of tasks that wait for a seat in a call.
const (
	rankAgain = iota // lost in the call before
	rankHot          // due, and of a hot service
	rankNew          // never read
	rankDue          // due
	rankFill         // not due
)

type seat struct {
	task *task
	rank int
	late float64
}

// seats are the tasks of a cluster that may be read, most wanted first, and how
// many of these are due.
func (o *Observer) seats(c *cluster, now time.Time) (seats []seat, due int) {
	seats = make([]seat, 0, len(c.tasks))
	for _, t := range c.tasks {
		if t.final() {
			continue
		}
		hot := o.hot[t.service]
		interval := o.opts.Interval
		if hot {
			interval = o.opts.HotInterval
		}
		s := seat{task: t, rank: rankFill, late: t.late(now, interval)}
		switch isDue := o.due(&t.clock, now, interval); {
		case t.again:
			s.rank = rankAgain
		case isDue && hot:
			s.rank = rankHot
		case t.tried.IsZero():
			s.rank = rankNew
		case isDue:
			s.rank = rankDue
		}
		if s.rank != rankFill {
			due++
		}
		seats = append(seats, s)
	}
	if due > 0 && due < len(seats) || due > tasksACall {
		slices.SortStableFunc(seats, func(a, b seat) int {
			return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(b.late, a.late))
		})
	}
	return seats, due
}

// reading is what a call said of one task.
type reading struct {
	value *fleet.Task // nil: not in the reply, or nothing to go by
	addr  addresses
	other bool   // the task belongs to no service
	odd   bool   // there is something in the reply that value has not
	fails string // why there is no value: the failure's reason, or what is wrong with the reading
}

func (o *Observer) describeTasks(ctx context.Context, c *cluster, tasks []*task) func() {
	again, last := &repeat{}, lastSaid(tasks)
	if last != nil {
		again.was = &last.digest
	}
	out, read, err := ask(context.WithValue(ctx, repeatKey{}, again), o.ecs.DescribeTasks, &ecs.DescribeTasksInput{
		Cluster: aws.String(string(c.arn)),
		Tasks:   texts(tasks, func(t *task) string { return string(t.arn) }),
	})
	if err == nil && !again.same {
		err = noList(out.Tasks, "tasks")
	}
	readings := make([]reading, len(tasks))
	switch {
	case err != nil:
	case again.same:
		readings = repeated(tasks, read)
	default:
		readings = o.convertReply(c, tasks, out, read)
		last = &said{again.is, tasks}
	}
	return func() {
		if err != nil {
			for _, t := range tasks {
				t.failed = t.soon(err)
				t.lost()
			}
			o.fail(fleet.GapTasks, string(c.arn), fmt.Sprintf("DescribeTasks of %d tasks of %s", len(tasks), c.arn.Name()), err)
			return
		}
		left, why, plain := 0, "", true
		for i, t := range tasks {
			t.failed, t.said = false, nil
			was := t.unread
			t.unread = time.Time{}
			switch r := &readings[i]; {
			case r.other:
				o.closeTask(c, t)
			case r.value != nil:
				o.applyTask(c, t, r)
			case r.fails == missingReason:
				o.missTask(c, t)
			default:
				t.unread = was
				t.lost()
				if r.fails == "" {
					o.missTask(c, t) // no failure says so, and what is nowhere is not there
				}
				left++
				why = cmp.Or(r.fails, "left out of the reply")
			}
			plain = plain && readings[i].value != nil && t.value == readings[i].value && !readings[i].odd
		}
		for _, t := range tasks {
			if plain {
				t.said = last
			}
		}
		if left > 0 {
			o.fail(fleet.GapTasks, string(c.arn), "DescribeTasks of "+c.arn.Name(), gapf(fleet.Invalid, "%d tasks: %s", left, why))
		}
	}
}

// lost notes that a try to read the task failed.
func (t *task) lost() {
	if t.unread.IsZero() {
		t.unread = time.Now()
	}
}

// repeated are the readings of a reply that says what the one before said.
func repeated(tasks []*task, read fleet.Read) []reading {
	readings := make([]reading, len(tasks))
	values := make([]fleet.Task, len(tasks))
	for i, t := range tasks {
		values[i] = *t.value
		values[i].Read = read
		readings[i] = reading{value: &values[i], addr: t.addr}
	}
	return readings
}

// convertReply brings a reply into the order of what was asked. It runs
// concurrently with other calls: it reads the Observer and changes nothing.
func (o *Observer) convertReply(c *cluster, tasks []*task, out *ecs.DescribeTasksOutput, read fleet.Read) []reading {
	readings := make([]reading, len(tasks))
	index := make(map[string]int, len(tasks))
	for i, t := range tasks {
		index[string(t.arn)] = i
	}
	for i := range out.Tasks {
		in := &out.Tasks[i]
		at, ok := index[value(in.TaskArn)]
		if !ok || readings[at].value != nil {
			continue
		}
		readings[at] = convertTask(c, tasks[at], in, read)
	}
	for i := range out.Failures {
		if at, ok := index[value(out.Failures[i].Arn)]; ok && readings[at].value == nil {
			readings[at].fails = cmp.Or(value(out.Failures[i].Reason), "failure without a reason")
		}
	}
	return readings
}

// applyTask takes a reading in. One with an older version than we have was
// made from a stale copy somewhere in AWS and is no evidence, unless that lasts.
func (o *Observer) applyTask(c *cluster, t *task, r *reading) {
	t.missing, t.unlisted = 0, struct{ running, stopped bool }{}
	v := r.value
	if t.value == nil {
		if v.Gone() && v.StoppedAt.Before(o.started) && !t.awaited {
			o.closeTask(c, t) // history
			return
		}
		o.share(v)
		t.service = v.Service
	} else if v.Version < t.value.Version && !o.outlived(t, v) {
		if t.value.Missing > 0 {
			was := *t.value
			was.Missing = 0
			t.value = &was
		}
		return
	}
	t.older = 0
	if !r.addr.equal(&t.addr) {
		t.addr, t.moved = r.addr, true
	}
	o.addDefinition(v.Definition)
	if d := o.definitions[v.Definition]; d != nil && d.value != nil && !fits(v, d.value) {
		d.doubted = true
	}
	o.addInstance(c, v.ContainerInstance)
	if t.value != nil && v.Leaving() && !t.value.Leaving() {
		c.lose(v.Service.Name)
	}
	if v.Gone() && t.stoppedRead.IsZero() {
		t.stoppedRead, t.stoppedPass = time.Now(), o.pass
	}
	t.value = v
	if t.failing() {
		o.hot[t.service] = true
	}
}

// staleForSeconds is for how many of AWS's seconds a copy somewhere in AWS may be
// stale: as much as polling.reply_age may be set to.
const staleForSeconds = 60

// outlived notes a reading with an older version than we have, and reports that ours
// was never one: nothing has had it for longer than any copy is stale. It would else be
// the last that is ever known of the task, and a target of it would stay out for good.
func (o *Observer) outlived(t *task, v *fleet.Task) bool {
	t.older++
	return t.older >= confirmations && v.Read.Sent.Sub(t.value.Read.Received) >= o.ofSeconds(staleForSeconds)
}

// missTask notes that ECS answered MISSING. What was read stays, with its count
// of such answers, until nothing has the task any more.
func (o *Observer) missTask(c *cluster, t *task) {
	now := time.Now()
	if t.missing++; t.missing == 1 {
		t.missingSince = now
		if t.value != nil && !t.value.Leaving() {
			c.lose(t.service.Name)
		}
	}
	if t.missing == confirmations && t.service.Name != "" {
		c.lose(t.service.Name) // so that its list of tasks wanted STOPPED is walked now
	}
	if now.Sub(t.missingSince) >= o.ofSeconds(missingStaysSeconds) && t.gone() {
		// Not closed: should a list have it again, it is there after all.
		delete(c.byARN, t.arn)
		c.dropped = true
		return
	}
	if t.value != nil {
		v := *t.value
		v.Missing = t.missing
		t.value = &v
	}
}

// gone reports that ECS has confirmed that there is no such task: DescribeTasks says
// MISSING again and again, and the lists of tasks wanted RUNNING and of those wanted
// STOPPED, both walked whole since, do not have it. MISSING alone is no proof: it has
// been answered about tasks that ECS went on listing, and that were well. Nor are the
// lists alone: they lag behind.
func (t *task) gone() bool {
	return t.missing >= confirmations && t.unlisted.running && t.unlisted.stopped
}

// closeTask takes a task out for good: it is not described again while lists
// still have it.
func (o *Observer) closeTask(c *cluster, t *task) {
	delete(c.byARN, t.arn)
	c.closed[t.arn] = c.rounds()
	c.dropped = true
}

// dropTasks takes out what has been STOPPED for long enough.
func (o *Observer) dropTasks() {
	now := time.Now()
	for _, c := range o.clusters {
		for _, t := range c.tasks {
			if !t.stoppedRead.IsZero() && o.pass-t.stoppedPass > stoppedStaysPasses &&
				now.Sub(t.stoppedRead) >= o.ofSeconds(stoppedStaysSeconds) {
				o.closeTask(c, t)
			}
		}
		c.compact()
	}
}

// compact brings tasks in line with byARN.
func (c *cluster) compact() {
	if c.dropped {
		c.tasks = slices.DeleteFunc(c.tasks, func(t *task) bool { return c.byARN[t.arn] != t })
		c.dropped = false
	}
}

// retarget works out the targets of the tasks whose addresses are new, or of
// all when what these follow from has changed. A task that was read earlier keeps its
// Read: it is the same evidence, seen better.
func (o *Observer) retarget() {
	for _, c := range o.clusters {
		c.compact()
		var unread time.Time // since when the one is that is unread for longest
		for _, t := range c.tasks {
			if !t.unread.IsZero() && (unread.IsZero() || t.unread.Before(unread)) {
				unread = t.unread
			}
			if t.value == nil || !t.moved && !o.moved && !o.unsettled(t) {
				continue
			}
			t.moved = false
			if targets := o.targets(t); !slices.Equal(targets, t.value.Targets) {
				v := *t.value
				v.Targets = targets
				t.value = &v
			}
		}
		key := gapKey{fleet.GapTasks, string(c.arn)}
		switch g, open := o.gaps[key]; {
		case unread.IsZero():
			delete(o.gaps, key)
		case open: // others may have been read since it opened
			g.Since = unread.Round(0).UTC()
			o.gaps[key] = g
		}
	}
	o.moved = false
}
