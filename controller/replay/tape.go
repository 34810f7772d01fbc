package replay

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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
//
// It reads the record as it plays it: what was answered later is on disk still, and what
// was answered again is forgotten.
type Tape struct {
	header header
	began  time.Time
	ended  time.Time
	missed int64
	// lag is how much earlier than any reply before it one may have been asked for: they
	// are in the order in which they came.
	lag time.Duration

	mu     sync.Mutex
	reels  *reels
	read   time.Time           // the last reply that was read came then
	now    time.Time           // of the last request
	swept  time.Time           // as of read
	failed error               // the record could not be read further
	exact  map[string][]*entry // by request, in the order in which they were sent
	items  map[string][]item   // by operation, cluster and what is asked for, likewise
	calls  []Call
	reads  map[string]int
}

// item is one of the things that a request asked for.
type item struct {
	of *entry
	// cut says that the rest of the reply is forgotten, and part what it had of this.
	cut  bool
	part part
}

// part is what a reply has of one thing: its value, and that it is among the failures.
// Nothing: it is not there.
type part struct {
	value  []byte
	failed bool
}

// ahead is how much later than the request of a play the recorded one may have been:
// castoff took some time between its calls, which a play does not. It is of a region's
// own time.
const ahead = 250 * time.Millisecond

// atFirst is how long a request waits for the first reading of what it asks for.
const atFirst = 10 * time.Second

// written is how far from the recorded one a call that changes something may be.
const written = 30 * time.Second

// sweep is how often it is looked what can be forgotten.
const sweep = time.Minute

// ReadTape opens the newest record of a directory: the last run of castoff's that
// wrote one there. It reads all of it once, so that what cannot be played is refused
// before. A file that ends early, as after a crash, is read as far as it goes.
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
	if err := t.scan(files); err != nil {
		return nil, err
	}
	if t.ended.IsZero() {
		return nil, fmt.Errorf("%s: the record is empty", dir)
	}
	return t, nil
}

// scan reads a record to its end, keeping nothing of its replies.
func (t *Tape) scan(files []string) error {
	uses := make([]map[int]int, len(files))
	r := &reels{files: files}
	defer r.close()
	var came time.Time
	for {
		e := new(glance)
		err := r.line(e)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if uses[r.at] == nil {
			uses[r.at] = make(map[int]int)
		}
		if e.Same != 0 {
			uses[r.at][e.Same] = e.Number
		}
		t.missed = max(t.missed, r.header.Missed, e.Missed)
		if e.Kept {
			continue
		}
		if e.Op == startOp {
			t.began = e.Sent
		}
		if e.Received.After(came) {
			came = e.Received
		}
		t.lag = max(t.lag, came.Sub(e.Sent))
	}
	t.ended, t.header = came, r.first
	if t.began.IsZero() {
		t.began = r.first.Began
	}
	t.missed -= min(t.missed, r.first.Missed) // those before are no part of it
	t.reels = &reels{files: files, uses: uses}
	return nil
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

// Missed are the replies that are not in the record, since castoff could not write them
// in time or they could not be made out.
func (t *Tape) Missed() int64 { return t.missed }

// Err is why the record could not be read to where it was played.
func (t *Tape) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}

// Seed is that of castoff's intervals.
func (t *Tape) Seed() uint64 { return t.header.Seed }

// Speed is by what castoff's durations were divided, as those of the region were.
func (t *Tape) Speed() float64 { return cmp.Or(t.header.Speed, 1) }

// readUntil reads all that was sent until an instant.
func (t *Tape) readUntil(until time.Time) {
	for t.failed == nil && !t.read.Add(-t.lag).After(until) {
		e, err := t.reels.next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.failed = err
			return
		}
		if !e.Kept && e.Received.After(t.read) {
			t.read = e.Received
		}
		t.add(e)
		if t.read.Sub(t.swept) >= sweep {
			t.swept = t.read
			t.sweep()
		}
	}
}

func (t *Tape) add(e *entry) {
	if _, ok := recorded[e.Op]; !ok {
		return
	}
	q := request{op: e.Op, text: string(e.Request)}
	if e.Query {
		if json.Unmarshal(e.Request, &q.form) != nil {
			return
		}
	}
	prefix, asked := q.asksFor()
	if len(asked) == 0 {
		key := q.key()
		t.exact[key] = t.insert(t.exact[key], e)
		return
	}
	for _, one := range asked {
		t.items[prefix+one] = insert(t.items[prefix+one], item{of: e}, t.now, itemOf)
	}
}

func (t *Tape) insert(all []*entry, e *entry) []*entry {
	now := t.now
	if e.Op == registerTargets || e.Op == deregisterTargets {
		now = now.Add(-written)
	}
	return insert(all, e, now, entryOf)
}

func itemOf(it item) *entry   { return it.of }
func entryOf(e *entry) *entry { return e }

// insert puts what was sent where it belongs, and forgets what was sent before the last
// one that was before now.
func insert[T any](all []T, one T, now time.Time, of func(T) *entry) []T {
	at := len(all)
	for at > 0 && of(all[at-1]).Sent.After(of(one).Sent) {
		at--
	}
	all = slices.Insert(all, at, one)
	old := 0
	for old+1 < len(all) && of(all[old+1]).Sent.Before(now) {
		old++
	}
	return slices.Delete(all, 0, old)
}

// sweep forgets what nobody is likely to ask for again: pages of old lists, and of old
// replies about many things those about which there are newer ones. Otherwise each task
// that is gone would hold the reply about a hundred.
func (t *Tape) sweep() {
	maps.DeleteFunc(t.exact, func(_ string, all []*entry) bool {
		e := all[len(all)-1]
		return e.paged() && t.now.After(e.keptUntil())
	})
	rests := make(map[*entry]*entry)
	for key, all := range t.items {
		it := all[len(all)-1]
		if it.cut || it.of.Error != "" || it.of.Status != http.StatusOK || !t.now.After(it.of.keptUntil()) {
			continue
		}
		rest := rests[it.of]
		if rest == nil {
			whole := *it.of
			rest, whole.Body, whole.Request, whole.parts = &whole, "", nil, nil
			rests[it.of] = rest
		}
		t.items[key] = []item{{of: rest, cut: true, part: it.of.split()[key[strings.LastIndexByte(key, ' ')+1:]]}}
	}
}

// paged is whether it is a further page of a list.
func (e *entry) paged() bool {
	return bytes.Contains(e.Request, []byte(`"nextToken"`)) || e.Query && bytes.Contains(e.Request, []byte(`"Marker"`))
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
	b := recorded[q.op]
	if b.asked == "" {
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
func (e *entry) split() map[string]part {
	if e.parts == nil {
		e.parts = e.taken()
	}
	return e.parts
}

func (e *entry) taken() map[string]part {
	b := recorded[e.Op]
	parts := make(map[string]part)
	if e.Status != http.StatusOK {
		return parts
	}
	if e.Query {
		root, err := parseXML([]byte(e.Body))
		if err != nil {
			return parts
		}
		for _, n := range root.listed(e.Op, b.reply) {
			if id := n.child(b.id); id != nil {
				parts[id.text] = part{value: []byte(n.String())}
			}
		}
		return parts
	}
	var out map[string]json.RawMessage
	if json.Unmarshal([]byte(e.Body), &out) != nil {
		return parts
	}
	var list, failures []json.RawMessage
	_ = json.Unmarshal(out[b.reply], &list)        // what cannot be read is not there
	_ = json.Unmarshal(out["failures"], &failures) // likewise
	_, asked := (&request{op: e.Op, text: string(e.Request)}).asksFor()
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
				parts[one] = part{raw, i >= len(list)}
			}
		}
	}
	return parts
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
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = now
	t.readUntil(now.Add(t.ahead()))
	prefix, asked := q.asksFor()
	if len(asked) == 0 {
		e := t.find(q)
		if e == nil {
			return q.notRecorded(), now, ""
		}
		return e.reply(), e.at(now), e.Error
	}
	items := make([]item, len(asked))
	var newest *entry
	same := true
	for i, one := range asked {
		items[i], _ = first(t, t.items, prefix+one, itemOf)
		of := items[i].of
		same = same && of != nil && of == items[0].of && !items[i].cut
		if of != nil && (newest == nil || of.Sent.After(newest.Sent)) {
			newest = of
		}
	}
	switch {
	case newest == nil:
		return q.notRecorded(), now, ""
	case newest.Error != "" || newest.Status != http.StatusOK || same && q.key() == newest.key():
		return newest.reply(), newest.at(now), newest.Error
	}
	for i, one := range asked {
		if of := items[i].of; of != nil && !items[i].cut {
			items[i].part = of.split()[one]
		}
	}
	return q.assemble(asked, items, newest), newest.at(now), ""
}

// first is the reply to a request of now, or to its first one when there was none.
func first[T any](t *Tape, from map[string][]T, key string, of func(T) *entry) (T, bool) {
	if len(from[key]) == 0 {
		t.readUntil(t.now.Add(atFirst))
	}
	return latest(from[key], t.now, t.ahead(), of)
}

func (t *Tape) ahead() time.Duration { return time.Duration(float64(ahead) / t.Speed()) }

func (e *entry) key() string {
	q := request{op: e.Op, text: string(e.Request)}
	if e.Query {
		_ = json.Unmarshal(e.Request, &q.form) // it was read before
	}
	return q.key()
}

// find is the entry for a request that is answered as a whole. A call that changes
// something must have been made at about that time.
func (t *Tape) find(q *request) *entry {
	if q.op != registerTargets && q.op != deregisterTargets {
		e, _ := first(t, t.exact, q.key(), entryOf)
		return e
	}
	t.readUntil(t.now.Add(written))
	var best *entry
	for _, e := range t.exact[q.key()] {
		if away := e.Sent.Sub(t.now).Abs(); away <= written && (best == nil || away < best.Sent.Sub(t.now).Abs()) {
			best = e
		}
	}
	return best
}

// latest is the first sent from now on if that is soon, else the last sent before.
func latest[T any](all []T, now time.Time, ahead time.Duration, of func(T) *entry) (found T, ok bool) {
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
	b := recorded[q.op]
	if q.form != nil {
		var body bytes.Buffer
		fmt.Fprintf(&body, `<%[1]sResponse xmlns="%[2]s"><%[1]sResult><%[3]s>`, q.op, elbNamespace, b.reply)
		for _, it := range items {
			if it.part.value == nil {
				return q.notRecorded() // ELBv2 answers all or nothing
			}
			body.Write(it.part.value)
		}
		fmt.Fprintf(&body, `</%[2]s></%[1]sResult><ResponseMetadata><RequestId></RequestId></ResponseMetadata></%[1]sResponse>`, q.op, b.reply)
		return reply{status: http.StatusOK, header: map[string]string{"Content-Type": like.Type}, body: body.Bytes()}
	}
	found, failures := []json.RawMessage{}, []json.RawMessage{}
	for i, it := range items {
		switch {
		case it.part.failed:
			failures = append(failures, it.part.value)
		case it.part.value != nil:
			found = append(found, it.part.value)
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
