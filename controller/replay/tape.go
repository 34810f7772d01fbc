package replay

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Tape is a record being played. A request gets the reply that was recorded for it: by
// its operation and parameters, and where it asks for several things at once, for each
// of them by itself. The reply is the one to the request that was sent last before, or
// just after; what was answered with an error is again. Where there is none the reply
// is an error of code NotRecorded.
type Tape struct {
	header header
	began  time.Time
	ended  time.Time

	exact map[string][]*entry // by request
	items map[string][]item   // by operation, cluster and what is asked for

	mu    sync.Mutex
	calls []Call
	reads map[string]int
}

// item is one of the things that a request asked for.
type item struct {
	of *entry
	// value is what the reply has of it, and failed that it is among the failures;
	// neither: the whole reply is an error.
	value  []byte
	failed bool
}

// ahead is how much later than the request of a play the recorded one may have been:
// castoff took some time between its calls, which a play does not.
const ahead = 250 * time.Millisecond

// atFirst is how long a request waits for the first reading of what it asks for.
const atFirst = 10 * time.Second

// written is how far from the recorded one a call that changes something may be.
const written = 30 * time.Second

// batch is an operation that asks for several things at once.
type batch struct{ asked, reply, id string }

var batches = map[string]batch{
	"DescribeClusters":           {"clusters", "clusters", "clusterArn"},
	"DescribeServices":           {"services", "services", "serviceArn"},
	"DescribeTasks":              {"tasks", "tasks", "taskArn"},
	"DescribeContainerInstances": {"containerInstances", "containerInstances", "containerInstanceArn"},
	"DescribeServiceRevisions":   {"serviceRevisionArns", "serviceRevisions", "serviceRevisionArn"},
	"DescribeServiceDeployments": {"serviceDeploymentArns", "serviceDeployments", "serviceDeploymentArn"},
	"DescribeTargetGroups":       {"TargetGroupArns", "TargetGroups", "TargetGroupArn"},
	"DescribeTags":               {"ResourceArns", "TagDescriptions", "ResourceArn"},
	"DescribeLoadBalancers":      {"LoadBalancerArns", "LoadBalancers", "LoadBalancerArn"},
}

// ReadTape reads the newest record of a directory: the last run of castoff's that
// wrote one there. A file that ends early, as after a crash, is read as far as it
// goes.
func ReadTape(dir string) (*Tape, error) {
	files, err := recordFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no record in it (no file such as 20261101T120000.000Z-000001%s)", dir, suffix)
	}
	run := func(file string) string { return file[:strings.LastIndexByte(file, '-')] }
	last := run(files[len(files)-1])
	files = slices.DeleteFunc(files, func(f string) bool {
		return run(f) != last
	})
	t := &Tape{exact: make(map[string][]*entry), items: make(map[string][]item), reads: make(map[string]int)}
	for _, file := range files {
		if err := t.read(file); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, all := range t.exact {
		slices.SortStableFunc(all, func(a, b *entry) int { return a.Sent.Compare(b.Sent) })
	}
	for _, all := range t.items {
		slices.SortStableFunc(all, func(a, b item) int { return a.of.Sent.Compare(b.of.Sent) })
	}
	if t.ended.IsZero() {
		return nil, fmt.Errorf("%s: the record is empty", dir)
	}
	return t, nil
}

// Began is when castoff began to watch, or the record when that is later.
func (t *Tape) Began() time.Time { return t.began }

// Ended is when the last reply came.
func (t *Tape) Ended() time.Time { return t.ended }

// Configuration is what was in force, Region where, and Seed that of castoff's
// intervals.
func (t *Tape) Configuration() string { return t.header.Configuration }

// Clusters are those that were watched, by the names that they have in the record;
// none: all.
func (t *Tape) Clusters() []string { return t.header.Clusters }

// Region is the AWS region.
func (t *Tape) Region() string { return t.header.Region }

// Seed is that of castoff's intervals.
func (t *Tape) Seed() uint64 { return t.header.Seed }

func (t *Tape) read(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if over(err) {
		return nil // as when the disk was full before its first line
	}
	if err != nil {
		return err
	}
	lines := bufio.NewReaderSize(z, 1<<16)
	line, err := readLine(lines)
	if over(err) {
		return nil
	}
	if err != nil {
		return err
	}
	var h header
	if err := json.Unmarshal(line, &h); err != nil || h.Record != form {
		return fmt.Errorf("its header is none of a record of form %d", form)
	}
	first := t.header.Record == 0
	if first {
		t.header, t.began = h, h.Began
	}
	bodies := make(map[int]string)
	for {
		line, err := readLine(lines)
		if over(err) {
			return nil
		}
		if err != nil {
			return err
		}
		e := new(entry)
		if err := json.Unmarshal(line, e); err != nil {
			return err
		}
		if e.Same != 0 {
			e.Body = bodies[e.Same]
		}
		bodies[e.Number] = e.Body
		if e.Kept && !first {
			continue // the file that it was copied from was read
		}
		t.add(e)
	}
}

// over is whether a file ends, maybe early.
func over(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// lineMost is more than any line of a record: a reply of [bodyMost] with each byte
// escaped. A file of some kilobytes can unpack to one that fills the memory.
const lineMost = 6*bodyMost + maxRequest

// readLine reads up to the end of a line.
func readLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > lineMost {
			return nil, fmt.Errorf("a line of it has more than %d bytes", lineMost)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

func (t *Tape) add(e *entry) {
	if e.Received.After(t.ended) && !e.Kept {
		t.ended = e.Received
	}
	if e.Op == startOp {
		t.began = e.Sent
		return
	}
	q := request{op: e.Op, text: string(e.Request)}
	if e.Query {
		if json.Unmarshal(e.Request, &q.form) != nil {
			return
		}
	}
	key := q.key()
	t.exact[key] = append(t.exact[key], e)
	prefix, asked := q.asksFor()
	if len(asked) == 0 {
		return
	}
	values, failed := q.split(e)
	for _, one := range asked {
		it := item{of: e, value: values[one], failed: failed[one]}
		t.items[prefix+one] = append(t.items[prefix+one], it)
	}
}

// key is what a request asks, whatever the order of its members.
func (q *request) key() string {
	if q.form != nil {
		return q.op + " " + q.form.Encode()
	}
	var v any
	if decode([]byte(q.text), &v) != nil {
		return q.op + " " + q.text
	}
	text, _ := json.Marshal(v) // it came from JSON
	return q.op + " " + string(text)
}

// asksFor are the things that a request of a batch asks for, and what the rest of it
// is.
func (q *request) asksFor() (prefix string, asked []string) {
	b, ok := batches[q.op]
	if !ok {
		return "", nil
	}
	if q.form != nil {
		return q.op + " ", members(q.form, b.asked)
	}
	var in map[string]any
	if decode([]byte(q.text), &in) != nil {
		return "", nil
	}
	list, _ := in[b.asked].([]any)
	for _, one := range list {
		one, _ := one.(string)
		asked = append(asked, one)
	}
	delete(in, b.asked)
	rest, _ := json.Marshal(in) // it came from JSON
	return q.op + " " + string(rest) + " ", asked
}

// split is what a reply has of each thing that was asked for.
func (q *request) split(e *entry) (values map[string][]byte, failed map[string]bool) {
	b := batches[q.op]
	values, failed = make(map[string][]byte), make(map[string]bool)
	if e.Status != http.StatusOK {
		return values, failed
	}
	if e.Query {
		root, err := parseXML([]byte(e.Body))
		if err != nil {
			return values, failed
		}
		for _, n := range root.listed(q.op, b.reply) {
			if id := n.child(b.id); id != nil {
				values[id.text] = []byte(n.String())
			}
		}
		return values, failed
	}
	var out map[string]json.RawMessage
	if json.Unmarshal([]byte(e.Body), &out) != nil {
		return values, failed
	}
	var list, failures []json.RawMessage
	_ = json.Unmarshal(out[b.reply], &list)        // what cannot be read is not there
	_ = json.Unmarshal(out["failures"], &failures) // likewise
	_, asked := q.asksFor()
	for i, raw := range append(list, failures...) {
		var ids map[string]any
		if json.Unmarshal(raw, &ids) != nil {
			continue
		}
		id := text(ids, b.id)
		if i >= len(list) {
			id = text(ids, "arn")
		}
		for _, one := range asked { // by ARN, or by name
			if one == id || lastSegment(id) == one || lastSegment(one) == id {
				values[one], failed[one] = raw, i >= len(list)
			}
		}
	}
	return values, failed
}

// listed are the members of a list in a reply.
func (n *node) listed(op, list string) []*node {
	if result := n.child(op + "Result"); result != nil {
		if l := result.child(list); l != nil {
			return l.below
		}
	}
	return nil
}

// Do answers a request as it was answered.
func (t *Tape) Do(req *http.Request) (*http.Response, error) {
	q, err := readRequest(req)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	rep, at, failure := t.answer(&q, now)
	if err := pause(req, at.Sub(now)); err != nil {
		return nil, err
	}
	if failure != "" {
		return nil, &url.Error{Op: req.Method, URL: req.URL.String(), Err: errorOf(failure)}
	}
	t.note(&q, now, rep.status)
	return rep.response(req), nil
}

// errorOf is an error of the network as it was recorded.
func errorOf(failure string) error {
	if failure == "timeout" {
		return os.ErrDeadlineExceeded
	}
	return syscall.ECONNRESET
}

func (t *Tape) note(q *request, now time.Time, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.op != registerTargets && q.op != deregisterTargets {
		t.reads[q.op]++
		return
	}
	call := Call{At: now, Op: q.op, Group: groupName(q.form.Get("TargetGroupArn")), Status: status}
	for _, target := range targetsOf(q.form) {
		call.Targets = append(call.Targets, target.id+":"+target.port)
	}
	slices.Sort(call.Targets)
	t.calls = append(t.calls, call)
}

// Calls are the calls so far that change something.
func (t *Tape) Calls() []Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.calls)
}

// Reads are how often each other operation was called so far.
func (t *Tape) Reads() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	reads := make(map[string]int, len(t.reads))
	for op, n := range t.reads {
		reads[op] = n
	}
	return reads
}

// answer is the reply to a request, when it comes, and what happened instead of it.
func (t *Tape) answer(q *request, now time.Time) (rep reply, at time.Time, failure string) {
	prefix, asked := q.asksFor()
	if len(asked) == 0 {
		e := t.find(t.exact[q.key()], q, now)
		if e == nil {
			return q.notRecorded(), now, ""
		}
		return e.reply(), e.at(now), e.Error
	}
	items := make([]item, len(asked))
	var newest *entry
	same := true
	for i, one := range asked {
		it, ok := latest(t.items[prefix+one], now, func(it item) *entry { return it.of })
		if !ok {
			it = item{}
			same = false
		}
		items[i] = it
		if it.of == nil {
			continue
		}
		same = same && it.of == items[0].of
		if newest == nil || it.of.Sent.After(newest.Sent) {
			newest = it.of
		}
	}
	switch {
	case newest == nil:
		return q.notRecorded(), now, ""
	case newest.Error != "" || newest.Status != http.StatusOK || same && q.key() == newest.key():
		return newest.reply(), newest.at(now), newest.Error
	}
	return q.assemble(asked, items, newest), newest.at(now), ""
}

func (e *entry) key() string {
	q := request{op: e.Op, text: string(e.Request)}
	if e.Query {
		_ = json.Unmarshal(e.Request, &q.form) // it was read before
	}
	return q.key()
}

// find is the entry for a request that is answered as a whole. A call that changes
// something must have been made at about that time.
func (t *Tape) find(all []*entry, q *request, now time.Time) *entry {
	if q.op != registerTargets && q.op != deregisterTargets {
		e, _ := latest(all, now, func(e *entry) *entry { return e })
		return e
	}
	var best *entry
	for _, e := range all {
		if away := e.Sent.Sub(now).Abs(); away <= written && (best == nil || away < best.Sent.Sub(now).Abs()) {
			best = e
		}
	}
	return best
}

// latest is the first sent from now on if that is soon, else the last sent before.
func latest[T any](all []T, now time.Time, of func(T) *entry) (found T, ok bool) {
	i, _ := slices.BinarySearchFunc(all, now, func(x T, now time.Time) int { return of(x).Sent.Compare(now) })
	switch {
	case i < len(all) && of(all[i]).Sent.Sub(now) <= ahead:
		return all[i], true
	case i > 0:
		return all[i-1], true
	case len(all) > 0 && of(all[0]).Sent.Sub(now) <= atFirst:
		return all[0], true
	default:
		return found, false
	}
}

// at is when the reply comes to a request of now: when it came, or after as long.
func (e *entry) at(now time.Time) time.Time {
	took := e.Received.Sub(e.Sent)
	if !e.Sent.Before(now) {
		return e.Received
	}
	return now.Add(max(0, took))
}

func (e *entry) reply() reply {
	rep := reply{status: e.Status, header: map[string]string{"Content-Type": cmp.Or(e.Type, "application/x-amz-json-1.1")}, body: []byte(e.Body)}
	if e.Code != "" {
		rep.header["X-Amzn-Errortype"] = e.Code
	}
	return rep
}

// assemble is a reply of what several replies had.
func (q *request) assemble(asked []string, items []item, like *entry) reply {
	b := batches[q.op]
	if q.form != nil {
		var body bytes.Buffer
		fmt.Fprintf(&body, `<%[1]sResponse xmlns="%[2]s"><%[1]sResult><%[3]s>`, q.op, elbNamespace, b.reply)
		for _, it := range items {
			if it.value == nil {
				return q.notRecorded() // ELBv2 answers all or nothing
			}
			body.Write(it.value)
		}
		fmt.Fprintf(&body, `</%[2]s></%[1]sResult><ResponseMetadata><RequestId></RequestId></ResponseMetadata></%[1]sResponse>`, q.op, b.reply)
		return reply{status: http.StatusOK, header: map[string]string{"Content-Type": like.Type}, body: body.Bytes()}
	}
	found, failures := []json.RawMessage{}, []json.RawMessage{}
	for i, it := range items {
		switch {
		case it.failed:
			failures = append(failures, it.value)
		case it.value != nil:
			found = append(found, it.value)
		case it.of == nil:
			text, _ := json.Marshal(map[string]string{"arn": asked[i], "reason": "NOT_RECORDED"}) // texts alone
			failures = append(failures, text)
		}
	}
	return ecsReply(http.StatusOK, map[string]any{b.reply: found, "failures": failures})
}

// notRecorded is the reply where the record has none: castoff makes a gap of it.
func (q *request) notRecorded() reply {
	const code, message = "NotRecorded", "the record has no reply to this request"
	if q.form == nil {
		return ecsError(code, message)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<ErrorResponse xmlns="%s"><Error>`, elbNamespace)
	element(&b, "Type", "Sender")
	element(&b, "Code", code)
	element(&b, "Message", message)
	b.WriteString(`</Error><RequestId></RequestId></ErrorResponse>`)
	return reply{status: http.StatusBadRequest, header: map[string]string{"Content-Type": "text/xml"}, body: b.Bytes()}
}
