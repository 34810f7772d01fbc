package replay

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// header is the first line of each file of a record.
type header struct {
	Record        int       `json:"record"` // the form: 1
	Version       string    `json:"version"`
	Region        string    `json:"region"`
	Replaced      bool      `json:"replaced"`        // whose fleet it is was replaced
	Seed          uint64    `json:"seed"`            // of castoff's intervals
	Speed         float64   `json:"speed,omitempty"` // by which castoff's durations were divided, as the region's were; none: 1
	Began         time.Time `json:"began"`           // the file
	Missed        int64     `json:"missed"`          // replies that were left out until then, for castoff must not wait
	Configuration string    `json:"configuration"`
	Clusters      []string  `json:"clusters,omitempty"` // that are watched, as they are named in the record; none: all
}

// form is that of records made by this castoff.
const form = 1

// entry is one request, and what came back.
type entry struct {
	Number   int             `json:"n,omitempty"`
	Sent     time.Time       `json:"sent"`
	Received time.Time       `json:"received"`
	Op       string          `json:"op"`
	Request  json.RawMessage `json:"request"`
	Query    bool            `json:"query,omitempty"` // of a query protocol: request is a form
	Status   int             `json:"status,omitempty"`
	Type     string          `json:"type,omitempty"`  // Content-Type
	Code     string          `json:"code,omitempty"`  // X-Amzn-Errortype
	Error    string          `json:"error,omitempty"` // instead of a reply
	Body     string          `json:"body,omitempty"`
	Same     int             `json:"same,omitempty"` // the body is that of the entry of this number
	// Missed are the replies that were left out until then, in an entry that tells nothing
	// else.
	Missed int64 `json:"missed,omitempty"`
	// Kept says that the entry is of an earlier file, and was copied when that may
	// be removed.
	Kept bool `json:"kept,omitempty"`

	parts map[string]part // of the reply, once it was taken apart
}

// operation is how one of AWS's is recorded and played.
type operation struct {
	// kept is for how long the last reply to a request is copied from file to file, so
	// that each can be played by itself. What is read once is kept as long as there is
	// room.
	kept time.Duration
	// Of one that asks for several things at once: the list of them in the request, that
	// in the reply, and what names a thing there.
	asked, reply, id string
}

const once = 100 * 365 * 24 * time.Hour

// recorded are the operations that a record has, which are those that castoff calls:
// none that gives credentials, or says who asks.
var recorded = map[string]operation{
	"ListClusters":                   {kept: time.Hour},
	"DescribeClusters":               {time.Hour, "clusters", "clusters", "clusterArn"},
	"ListServices":                   {kept: time.Hour},
	"DescribeServices":               {time.Hour, "services", "services", "serviceArn"},
	"ListTasks":                      {kept: time.Minute},
	"DescribeTasks":                  {time.Minute, "tasks", "tasks", "taskArn"},
	"DescribeTaskDefinition":         {kept: once},
	"DescribeContainerInstances":     {once, "containerInstances", "containerInstances", "containerInstanceArn"},
	"DescribeServiceRevisions":       {once, "serviceRevisionArns", "serviceRevisions", "serviceRevisionArn"},
	"ListGatewayRoutes":              {kept: time.Hour},
	"DescribeTargetGroups":           {time.Hour, "TargetGroupArns", "TargetGroups", "TargetGroupArn"},
	"DescribeTargetGroupAttributes":  {kept: time.Hour},
	"DescribeTargetHealth":           {kept: time.Minute},
	"DescribeTags":                   {time.Hour, "ResourceArns", "TagDescriptions", "ResourceArn"},
	"DescribeLoadBalancerAttributes": {kept: time.Hour},
	registerTargets:                  {},
	deregisterTargets:                {},
}

// keptUntil is when the reply need not be copied any more.
func (e *entry) keptUntil() time.Time { return e.Received.Add(recorded[e.Op].kept) }

// Limits of what waits to be written, and of one reply. More is left out, and counted.
const (
	waitingMost  = 4096
	waitingBytes = 32 << 20
	bodyMost     = 8 << 20
)

// keptMost is how much is kept to be copied, in bytes of memory. Requests differ from
// one to the next, by their page tokens or by the tasks they ask for, so that time
// alone is no limit.
const keptMost = 32 << 20

// sameFor is for how long a reply is remembered so that the same one is not written
// again.
const sameFor = 2 * time.Minute

// RecordOptions are those of a Recorder.
type RecordOptions struct {
	Dir   string
	Bytes int64 // of all files in the directory, about; more removes the oldest
	Plain bool  // names, addresses and so on are not replaced
	// Client is who asks AWS.
	Client interface {
		Do(*http.Request) (*http.Response, error)
	}
	Logger *slog.Logger
	// State is called with whether it records, from a goroutine of its own when that
	// ends early. It may be nil.
	State func(recording bool)

	Version, Region string
	Seed            uint64
	// Speed is how much faster than the clock the region runs; 0 is 1.
	Speed float64
	// Configuration is what is in force, without what names anybody.
	Configuration string
	// Clusters are those that are watched, by name or ARN; none: all.
	Clusters []string
}

// Recorder keeps what AWS answers, on disk, and never stands in the way of who asks.
// It fits aws.Config.HTTPClient.
type Recorder struct {
	o       RecordOptions
	scrub   *scrubber
	waiting chan *pending
	bytes   atomic.Int64 // of replies that wait
	missed  atomic.Int64 // replies that were left out
	ended   atomic.Bool  // it is stopped, or the disk failed
	stop    sync.Once
	stopped chan struct{}
	done    chan struct{}

	// Of the goroutine that writes.
	run     string // names its files
	number  int    // of the file
	file    *os.File
	zip     *gzip.Writer
	written int64
	head    int64 // what was written when it was opened
	noted   int64 // how many replies it says were left out
	entries int
	last    map[string]lastBody // by request, in this file
	kept    map[string]*entry   // by request
}

type lastBody struct {
	number int
	body   string
	at     time.Time
}

// pending is a request and its reply before they are written.
type pending struct {
	sent, received time.Time
	request        request
	status         int
	header         http.Header
	body           []byte
	failure        string
}

// NewRecorder begins a record in a directory, which is made if need be. The error is
// that nothing can be written there.
func NewRecorder(o RecordOptions) (*Recorder, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	r := &Recorder{
		o: o, scrub: newScrubber(o.Plain), waiting: make(chan *pending, waitingMost), stopped: make(chan struct{}), done: make(chan struct{}),
		run: time.Now().UTC().Format("20060102T150405.000Z"), kept: make(map[string]*entry),
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	r.state(true)
	go r.write()
	return r, nil
}

func (r *Recorder) state(recording bool) {
	if r.o.State != nil {
		r.o.State(recording)
	}
}

// Close writes what waits, and ends the record. It waits no longer than ctx.
func (r *Recorder) Close(ctx context.Context) error {
	r.stop.Do(func() { r.ended.Store(true); close(r.stopped) })
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the end of the record is not written: %w", ctx.Err())
	}
}

// Do asks AWS, and has the reply written once it was read.
func (r *Recorder) Do(req *http.Request) (*http.Response, error) {
	if r.ended.Load() {
		return r.o.Client.Do(req)
	}
	q, req, err := peek(req)
	if _, ok := recorded[q.op]; err != nil || !ok {
		return r.o.Client.Do(req)
	}
	p := &pending{sent: time.Now(), request: q}
	resp, err := r.o.Client.Do(req)
	if err != nil {
		if p.received, p.failure = time.Now(), kindOf(err); p.failure != "" {
			r.queue(p)
		}
		return resp, err
	}
	p.status, p.header = resp.StatusCode, resp.Header
	resp.Body = &copied{ReadCloser: resp.Body, p: p, to: r}
	return resp, nil
}

// Start notes that castoff begins to watch: a play begins then too, and not with what
// castoff asked before.
func (r *Recorder) Start() {
	now := time.Now()
	r.queue(&pending{sent: now, received: now, request: request{op: startOp, text: "{}"}})
}

// startOp and missedOp are no operations of AWS's.
const (
	startOp  = "start"
	missedOp = "missed"
)

// kindOf is what happened instead of a reply: not in the words of the error, which
// may have an address in them. It is empty where nobody waits for the reply any more,
// as when castoff stops: AWS did not fail then, and must not in a play.
func kindOf(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return ""
	default:
		return "connection failed"
	}
}

// peek reads a request that is to be sent still.
func peek(req *http.Request) (request, *http.Request, error) {
	if req.Body == nil {
		return request{}, req, errors.New("a request without a body is none of AWS's")
	}
	body, err := io.ReadAll(req.Body)
	_ = req.Body.Close() // it has been read
	again := *req
	again.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		again.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
		return request{}, &again, err
	}
	look := *req
	look.Body = io.NopCloser(bytes.NewReader(body))
	q, err := readRequest(&look)
	return q, &again, err
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// copied is a reply that is noted while it is read.
type copied struct {
	io.ReadCloser
	p    *pending
	to   *Recorder
	once sync.Once
}

func (c *copied) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	if len(c.p.body) < bodyMost {
		c.p.body = append(c.p.body, b[:n]...)
	}
	switch {
	case errors.Is(err, io.EOF):
		c.over()
	case err != nil:
		if c.p.failure = kindOf(err); c.p.failure == "" {
			c.once.Do(func() {}) // it is not noted
		}
		c.over()
	}
	return n, err
}

func (c *copied) Close() error {
	c.over()
	return c.ReadCloser.Close()
}

func (c *copied) over() {
	c.once.Do(func() {
		c.p.received = time.Now()
		c.to.queue(c.p)
	})
}

// queue hands a reply over without waiting.
func (r *Recorder) queue(p *pending) {
	if r.ended.Load() {
		return
	}
	size := int64(len(p.body) + len(p.request.text))
	if len(p.body) >= bodyMost || r.bytes.Add(size) > waitingBytes {
		r.bytes.Add(-size)
		r.missed.Add(1)
		return
	}
	select {
	case r.waiting <- p:
	default:
		r.bytes.Add(-size)
		r.missed.Add(1)
	}
}

// write is the goroutine that writes, until the record is closed or cannot be
// written.
func (r *Recorder) write() {
	defer close(r.done)
	flush := time.NewTicker(time.Second)
	defer flush.Stop()
	forget := time.NewTicker(sameFor / 4)
	defer forget.Stop()
	var err error
	for err == nil {
		select {
		case p := <-r.waiting:
			err = r.add(p)
		case <-flush.C:
			err = errors.Join(r.note(), r.zip.Flush())
		case <-forget.C:
			r.forget(time.Now())
		case <-r.stopped:
			for len(r.waiting) > 0 && err == nil {
				err = r.add(<-r.waiting)
			}
			if err = errors.Join(err, r.shut()); err == nil {
				r.state(false)
				return
			}
		}
	}
	r.ended.Store(true)
	_ = r.file.Close() // it is lost already
	r.last, r.kept = nil, nil
	for len(r.waiting) > 0 {
		<-r.waiting
	}
	r.o.Logger.Warn("recording has stopped: the record cannot be written; castoff goes on without it", "dir", r.o.Dir, "error", err)
	r.state(false)
}

// add writes one entry. One that cannot be made out is left out.
func (r *Recorder) add(p *pending) error {
	r.bytes.Add(-int64(len(p.body) + len(p.request.text)))
	e, err := r.entry(p)
	if err != nil {
		r.missed.Add(1)
		return nil //nolint:nilerr // it is counted
	}
	if r.written >= r.head+r.o.Bytes/8 {
		if err := errors.Join(r.shut(), r.open()); err != nil {
			return err
		}
	}
	key := e.Op + " " + string(e.Request)
	if e.keptUntil().After(e.Received) && e.Status == http.StatusOK {
		whole := *e
		r.kept[key] = &whole
	}
	return r.put(key, e)
}

func (r *Recorder) put(key string, e *entry) error {
	r.entries++
	e.Number = r.entries
	if was, ok := r.last[key]; ok && was.body == e.Body && e.Body != "" {
		e.Body, e.Same = "", was.number
	} else {
		r.last[key] = lastBody{e.Number, e.Body, e.Received}
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = r.zip.Write(append(line, '\n'))
	return err
}

// entry is a request and its reply with what is to be replaced replaced.
func (r *Recorder) entry(p *pending) (*entry, error) {
	e := &entry{Sent: p.sent.UTC(), Received: p.received.UTC(), Op: p.request.op, Query: p.request.form != nil, Error: p.failure}
	var asked any
	if e.Query {
		asked = r.scrub.form(p.request.form)
	} else {
		if err := decode([]byte(p.request.text), &asked); err != nil {
			return nil, err
		}
		asked = r.scrub.json("", asked)
	}
	var err error
	if e.Request, err = json.Marshal(asked); err != nil {
		return nil, err
	}
	if p.failure != "" {
		return e, nil
	}
	e.Status, e.Type = p.status, p.header.Get("Content-Type")
	if code := p.header.Get("X-Amzn-Errortype"); plainWord.MatchString(strings.TrimSuffix(code, ":")) {
		e.Code = code
	}
	body, err := unpacked(p)
	if err != nil {
		return nil, err
	}
	e.Body, err = r.scrub.body(e.Query, body)
	return e, err
}

// unpacked is a body that may have come compressed.
func unpacked(p *pending) ([]byte, error) {
	if p.header.Get("Content-Encoding") != "gzip" {
		return p.body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(p.body))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(z, bodyMost))
	if len(body) >= bodyMost {
		return nil, errors.New("too large")
	}
	return body, err
}

// open begins a file, with what is needed of those before it, and removes the oldest
// so that the directory stays within its limit.
func (r *Recorder) open() error {
	if err := r.trim(); err != nil {
		return err
	}
	r.number++
	name := filepath.Join(r.o.Dir, fmt.Sprintf("%s-%06d%s", r.run, r.number, suffix))
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	r.file, r.written, r.entries, r.last, r.noted = file, 0, 0, make(map[string]lastBody), r.missed.Load()
	r.zip = gzip.NewWriter(&counted{file, &r.written})
	var clusters []string
	for _, c := range r.o.Clusters {
		clusters = append(clusters, r.scrub.value("cluster", c))
	}
	line, err := json.Marshal(header{
		Record: form, Version: r.o.Version, Region: r.o.Region, Replaced: !r.o.Plain, Seed: r.o.Seed, Speed: r.o.Speed, Began: time.Now().UTC(), Missed: r.noted,
		Configuration: r.o.Configuration, Clusters: clusters,
	})
	if err != nil {
		return err
	}
	if _, err := r.zip.Write(append(line, '\n')); err != nil {
		return err
	}
	r.forget(time.Now())
	for _, key := range slices.Sorted(maps.Keys(r.kept)) {
		e := *r.kept[key]
		e.Kept = true
		if err := r.put(key, &e); err != nil {
			return err
		}
	}
	err = r.zip.Flush()
	r.head = r.written
	return err
}

// forget removes what need not be copied any more, and if the rest is too much, what
// would go soonest.
func (r *Recorder) forget(now time.Time) {
	maps.DeleteFunc(r.last, func(_ string, l lastBody) bool { return now.Sub(l.at) > sameFor })
	size := int64(0)
	maps.DeleteFunc(r.kept, func(_ string, e *entry) bool {
		if now.After(e.keptUntil()) {
			return true
		}
		size += e.size()
		return false
	})
	most := min(keptMost, r.o.Bytes/2)
	if size <= most {
		return
	}
	keys := slices.SortedFunc(maps.Keys(r.kept), func(a, b string) int {
		return cmp.Or(r.kept[a].keptUntil().Compare(r.kept[b].keptUntil()), strings.Compare(a, b))
	})
	for _, key := range keys {
		if size <= most {
			break
		}
		size -= r.kept[key].size()
		delete(r.kept, key)
	}
}

func (e *entry) size() int64 { return int64(len(e.Request) + len(e.Body)) }

func (r *Recorder) shut() error { return errors.Join(r.note(), r.zip.Close(), r.file.Close()) }

// note writes how many replies were left out, if the file does not say so yet.
func (r *Recorder) note() error {
	missed := r.missed.Load()
	if missed == r.noted {
		return nil
	}
	r.noted = missed
	now := time.Now().UTC()
	return r.put(missedOp, &entry{Sent: now, Received: now, Op: missedOp, Request: json.RawMessage("{}"), Missed: missed})
}

// suffix is that of a record's files, and isRecord their whole name: others are let be.
const suffix = ".castoff.gz"

var isRecord = regexp.MustCompile(`^\d{8}T\d{6}\.\d{3}Z-\d{6,}\.castoff\.gz$`)

// trim removes the oldest files, of earlier runs too.
func (r *Recorder) trim() error {
	files, err := recordFiles(r.o.Dir)
	if err != nil {
		return err
	}
	var sizes []int64
	all := r.o.Bytes/8 + r.head // of the next one
	for _, file := range files {
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) {
			sizes = append(sizes, 0) // another castoff that records here has removed it
			continue
		}
		if err != nil {
			return err
		}
		sizes = append(sizes, info.Size())
		all += info.Size()
	}
	for i := 0; i < len(files) && all > r.o.Bytes; i++ {
		if err := os.Remove(files[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		all -= sizes[i]
	}
	return nil
}

// recordFiles are a directory's, oldest first.
func recordFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if isRecord.MatchString(e.Name()) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil // they are sorted by name, which begins with the time
}

// counted counts what is written.
type counted struct {
	w io.Writer
	n *int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	*c.n += int64(n)
	return n, err
}
