package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/sim"
)

// recording is a region whose calls can be made again without it. Of calls that
// ask for the same it keeps the last reply.
type recording struct {
	region sim.Doer

	mu      sync.Mutex
	on      bool
	calls   []string // X-Amz-Target, a line feed, the body
	replies map[string]*http.Response
	bodies  map[string][]byte
}

func (r *recording) set(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.on = on
}

// Do has the region answer.
func (r *recording) Do(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	on := r.on
	r.mu.Unlock()
	if !on {
		return r.region.Do(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	rep, err := r.region.Do(req)
	if err != nil {
		return nil, err
	}
	said, err := io.ReadAll(rep.Body)
	if err != nil {
		return nil, err
	}
	rep.Body = io.NopCloser(bytes.NewReader(said))
	r.mu.Lock()
	defer r.mu.Unlock()
	call, kept := req.Header.Get("X-Amz-Target")+"\n"+string(body), *rep
	r.calls, r.replies[call], r.bodies[call] = append(r.calls, call), &kept, said
	return rep, nil
}

// run makes the calls again by the bare SDK.
func (r *recording) run(t *testing.T) {
	cfg := awsapi.Simulated("http://aws.invalid", sim.RegionName)
	cfg.HTTPClient = replayed{r}
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	e, l := ecs.NewFromConfig(cfg), elb.NewFromConfig(cfg)
	operations := map[string]func(context.Context, []byte) error{
		"ListClusters": bare(e.ListClusters), "DescribeClusters": bare(e.DescribeClusters),
		"ListServices": bare(e.ListServices), "DescribeServices": bare(e.DescribeServices),
		"ListTasks": bare(e.ListTasks), "DescribeTasks": bare(e.DescribeTasks), "DescribeTaskDefinition": bare(e.DescribeTaskDefinition),
		"DescribeTargetGroups": bare(l.DescribeTargetGroups), "DescribeTargetHealth": bare(l.DescribeTargetHealth),
		"DescribeTargetGroupAttributes": bare(l.DescribeTargetGroupAttributes), "DescribeTags": bare(l.DescribeTags),
	}
	for _, call := range r.calls {
		target, body, _ := strings.Cut(call, "\n")
		_, operation, isECS := strings.Cut(target, ".")
		in := []byte(body)
		if !isECS {
			form, err := url.ParseQuery(body)
			must(t, err)
			operation, in = form.Get("Action"), membersOf(form)
		}
		if operations[operation] == nil {
			t.Fatalf("castoff calls %s", operation)
		}
		must(t, operations[operation](t.Context(), in))
	}
}

// bare is an operation that takes its input as JSON, with the members of either
// service.
func bare[In, Out, Opt any](op func(context.Context, *In, ...func(*Opt)) (*Out, error)) func(context.Context, []byte) error {
	return func(ctx context.Context, body []byte) error {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return err
		}
		_, err := op(ctx, &in)
		return err
	}
}

// membersOf is a request of the query protocol as JSON.
func membersOf(form url.Values) []byte {
	members := map[string]any{}
	for name := range form {
		value := form.Get(name)
		number, err := strconv.Atoi(value)
		list, index, isList := strings.Cut(name, ".member.")
		switch {
		case name == "Action" || name == "Version" || isList && index != "1":
		case isList:
			var all []string
			for i := 1; form.Has(list + ".member." + strconv.Itoa(i)); i++ {
				all = append(all, form.Get(list+".member."+strconv.Itoa(i)))
			}
			members[list] = all
		case name == "PageSize" && err == nil:
			members[name] = number
		default:
			members[name] = value
		}
	}
	out, _ := json.Marshal(members) // there is nothing in it that cannot be
	return out
}

// replayed answers with what was recorded.
type replayed struct{ *recording }

func (r replayed) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	call := req.Header.Get("X-Amz-Target") + "\n" + string(body)
	kept := r.replies[call]
	if kept == nil {
		return nil, fmt.Errorf("castoff has not asked %q", call)
	}
	rep := *kept
	rep.Body, rep.Request = io.NopCloser(bytes.NewReader(r.bodies[call])), req
	return &rep, nil
}
