package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const accountOf = "210987654321"

// What names anybody goes, what castoff goes by stays, and the same becomes the same.
func TestScrub(t *testing.T) {
	s := newScrubber(false)
	value := parse[any](t, `{"tasks": [{
		"taskArn": "arn:aws:ecs:eu-central-1:`+accountOf+`:task/acme/cfcd208495d565ef66e7dff9f98764da",
		"group": "service:billing", "startedBy": "ecs-svc/1000000000000000001", "lastStatus": "RUNNING", "healthStatus": "UNHEALTHY",
		"stoppedReason": "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:eu-central-1:`+accountOf+`:targetgroup/acme/2567a5ec9705eb7a)",
		"stopCode": "ServiceSchedulerInitiated", "version": 4, "createdAt": 1700000000.123,
		"taskDefinitionArn": "arn:aws:ecs:eu-central-1:`+accountOf+`:task-definition/billing:12",
		"containers": [{"name": "acmeweb", "networkInterfaces": [{"privateIpv4Address": "10.20.30.40", "ipv6Address": "fd00::17"}], "networkBindings": [{"bindIP": "0.0.0.0"}]}],
		"attachments": [{"details": [{"name": "privateIPv4Address", "value": "10.20.30.40"}, {"name": "macAddress", "value": "0a:b1:c2:d3:e4:f5"}]}],
		"overrides": {"containerOverrides": [{"environment": [{"name": "TOKEN", "value": "hunter2"}]}]}}],
	 "services": [{"serviceName": "billing", "serviceArn": "arn:aws:ecs:eu-central-1:`+accountOf+`:service/acme/billing", "tags": [
		{"key": "castoff:mode", "value": "detach"}, {"key": "castoff:pause", "value": "until=2026-12-01T00:00:00Z owner=jane@acme.example reason=the acme sale reattach=no"},
		{"key": "customer", "value": "acme"}]}],
	 "taskDefinition": {"family": "billing", "containerDefinitions": [{"name": "acmeweb", "image": "registry.acme.example/web:7", "command": ["--password=hunter2"],
		"environment": [{"name": "A", "value": "hunter2"}], "secrets": [{"name": "B", "valueFrom": "arn:aws:secretsmanager:eu-central-1:`+accountOf+`:secret:hunter2"}],
		"dockerLabels": {"acme": "x"}, "healthCheck": {"command": ["CMD-SHELL", "curl acme"], "interval": 5, "retries": 2}}]},
	 "failures": [{"arn": "arn:aws:ecs:eu-central-1:`+accountOf+`:task/acme/x", "reason": "MISSING"}],
	 "message": "User: arn:aws:sts::`+accountOf+`:assumed-role/acme/jane is not authorized to perform: ecs:ListTasks on acme"}`)
	out := s.json("", value)
	encoded, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := s.body(false, []byte(`{"x":1}`))
	if err != nil || whole != `{"x":1}` {
		t.Errorf("%s, %v", whole, err)
	}
	o := out.(map[string]any)
	task := o["tasks"].([]any)[0].(map[string]any)
	service := o["services"].([]any)[0].(map[string]any)
	account := s.account(accountOf)
	for _, want := range []struct{ got, is any }{
		{task["taskArn"], "arn:aws:ecs:eu-central-1:" + account + ":task/" + s.name("acme") + "/cfcd208495d565ef66e7dff9f98764da"},
		{task["taskDefinitionArn"], "arn:aws:ecs:eu-central-1:" + account + ":task-definition/" + s.name("billing") + ":12"},
		{task["group"], "service:" + s.name("billing")},
		{service["serviceName"], s.name("billing")},
		{service["serviceArn"], "arn:aws:ecs:eu-central-1:" + account + ":service/" + s.name("acme") + "/" + s.name("billing")},
		{task["startedBy"], "ecs-svc/1000000000000000001"},
		{task["lastStatus"], "RUNNING"}, {task["healthStatus"], "UNHEALTHY"}, {task["stopCode"], "ServiceSchedulerInitiated"},
		{brief(task["createdAt"]), "1700000000.123"}, {brief(task["version"]), "4"},
		{o["failures"].([]any)[0].(map[string]any)["reason"], "MISSING"},
	} {
		if want.got != want.is {
			t.Errorf("got %v, want %v", want.got, want.is)
		}
	}
	reason, _ := task["stoppedReason"].(string)
	if !strings.HasPrefix(reason, "Task failed ELB health checks text-") {
		t.Errorf("stoppedReason: %s", reason)
	}
	if m, _ := o["message"].(string); !strings.Contains(m, "not authorized to perform: ecs:ListTasks") {
		t.Errorf("message: %s", m)
	}
	for i, want := range []string{`"castoff:mode","value":"detach"`, `"castoff:pause","value":"until=2026-12-01T00:00:00Z owner=text-`} {
		if got := brief(service["tags"].([]any)[i]); !strings.Contains(got, want) {
			t.Errorf("tag: %s", got)
		}
	}
	if p := brief(service["tags"].([]any)[1]); !strings.Contains(p, "reason=text-") || !strings.HasSuffix(p, ` reattach=no"}`) || strings.Contains(p, "sale") {
		t.Errorf("pause: %s", p)
	}
	all := string(encoded)
	for _, word := range []string{"acme", "billing", "jane", "hunter2", "10.20.30.40", "fd00", accountOf, "0a:b1", "curl"} {
		if strings.Contains(all, word) {
			t.Errorf("%q is left: %s", word, all)
		}
	}
	if !strings.Contains(all, `"CMD-SHELL"`) || !strings.Contains(all, "0.0.0.0") {
		t.Error("what castoff goes by is gone")
	}
	address := task["containers"].([]any)[0].(map[string]any)["networkInterfaces"].([]any)[0].(map[string]any)["privateIpv4Address"]
	detail := task["attachments"].([]any)[0].(map[string]any)["details"].([]any)[0].(map[string]any)["value"]
	if address != detail {
		t.Errorf("one address became two: %v, %v", address, detail)
	}
}

// Names may stay, and secrets never do.
func TestPlainHasNoSecrets(t *testing.T) {
	s := newScrubber(true)
	text, err := s.body(false, []byte(`{"containerDefinitions": [{"name": "web", "environment": [{"name": "A", "value": "hunter2"}], "command": ["hunter2"],
		"healthCheck": {"command": ["CMD-SHELL", "mysqladmin ping -phunter2"]}}], "overrides": {"x": "hunter2"}}`))
	if err != nil || strings.Contains(text, "hunter2") || !strings.Contains(text, `"name":"web"`) || !strings.Contains(text, `["CMD-SHELL","text-`) {
		t.Errorf("%s, %v", text, err)
	}
}

// What somebody chose goes wherever it is, if it looks like AWS's or castoff's too.
func TestScrubTakesNobodyAtTheirWord(t *testing.T) {
	s := newScrubber(false)
	json, err := s.body(false, []byte(`{"tags": [{"key": "com.acme.owner", "value": "jane"}, {"key": "castoff:owner", "value": "jane"}, {"key": "castoff:mode", "value": "acme"},
		{"key": "castoff:pause", "value": "until=acme reattach=acme owner=jane"}, {"key": "castoff:mode", "value": "observe"}],
		"capacity": {"acme.example/jane": 1}, "deploymentConfiguration": {"lifecycleHooks": [{"hookDetails": {"acme": "jane"}}]},
		"resource": "arn:aws:s3:::acme/jane"}`))
	if err != nil || strings.Contains(json, "acme") || strings.Contains(json, "jane") || !strings.Contains(json, `"castoff:mode","value":"observe"`) {
		t.Errorf("%s, %v", json, err)
	}
	xml, err := s.body(true, []byte(`<R><Result><Tags><member><Key>com.acme.owner</Key><Value>jane</Value></member></Tags>
		<Attributes><member><Key>stickiness.app_cookie.cookie_name</Key><Value>acme</Value></member>
		<member><Key>load_balancing.cross_zone.enabled</Key><Value>use_load_balancer_configuration</Value></member></Attributes></Result></R>`))
	if err != nil || strings.Contains(xml, "acme") || strings.Contains(xml, "jane") ||
		!strings.Contains(xml, "<Key>load_balancing.cross_zone.enabled</Key><Value>use_load_balancer_configuration</Value>") {
		t.Errorf("%s, %v", xml, err)
	}
}

// Of more addresses than there are to replace them by, those are forgotten that were met
// first; no two have the same at a time.
func TestScrubManyAddresses(t *testing.T) {
	s := newScrubber(false)
	was := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	seen := make(map[netip.Addr]bool, addresses)
	for i := range addresses {
		is := s.address(was(i))
		if seen[is] || !netip.MustParsePrefix("198.18.0.0/15").Contains(is) {
			t.Fatalf("%s for %s", is, was(i))
		}
		seen[is] = true
	}
	first, second := s.address(was(0)), s.address(was(1))
	if is := s.address(was(addresses)); is != first {
		t.Errorf("one too many is %s, want that of the first, %s", is, first)
	}
	if is := s.address(was(0)); is != second || len(s.v4) != addresses {
		t.Errorf("the first is %s now, want %s; %d are known", is, second, len(s.v4))
	}
	if is := s.address(was(addresses)); is != first {
		t.Errorf("and the one too many %s", is)
	}
}

func TestScrubXML(t *testing.T) {
	s := newScrubber(false)
	text, err := s.body(true, []byte(`<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><DescribeTargetHealthResult>
		<TargetHealthDescriptions><member><Target><Id>10.20.30.40</Id><Port>8080</Port><AvailabilityZone>eu-central-1a</AvailabilityZone></Target>
		<TargetHealth><State>unhealthy</State><Reason>Target.Timeout</Reason><Description>acme timed out</Description></TargetHealth></member></TargetHealthDescriptions>
		<Tags><member><Key>castoff:managed</Key><Value>true</Value></member><member><Key>owner</Key><Value>acme</Value></member></Tags>
		<Attributes><member><Key>deregistration_delay.timeout_seconds</Key><Value>30</Value></member><member><Key>access_logs.s3.bucket</Key><Value>acme-logs</Value></member></Attributes>
		</DescribeTargetHealthResult><ResponseMetadata><RequestId>abc</RequestId></ResponseMetadata></DescribeTargetHealthResponse>`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<Id>198.18.0.1</Id>", "<Port>8080</Port>", "<AvailabilityZone>eu-central-1a<", "<State>unhealthy<", "<Reason>Target.Timeout<",
		"<Key>castoff:managed</Key><Value>true</Value>", "<Key>deregistration_delay.timeout_seconds</Key><Value>30</Value>", "<Key>access_logs.s3.bucket</Key><Value>text-"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if strings.Contains(text, "acme") || strings.Contains(text, "owner") || strings.Contains(text, "abc<") {
		t.Errorf("something is left: %s", text)
	}
	if html, err := s.body(true, []byte("<html>acme</html>")); err != nil || strings.Contains(html, "acme") {
		t.Errorf("%s, %v", html, err)
	}
}

// answers is an AWS that answers all with one body.
type answers struct{ body string }

func (a answers) Do(*http.Request) (*http.Response, error) {
	if a.body == "" {
		return nil, errors.New("dial 10.20.30.40: refused")
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}, "Set-Cookie": {"hunter2"}}, Body: io.NopCloser(strings.NewReader(a.body))}, nil
}

func call(t *testing.T, r *Recorder, op, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws.invalid/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113."+op)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=hunter2")
	req.Header.Set("X-Amz-Security-Token", "hunter2")
	resp, err := r.Do(req)
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func recorderOf(t *testing.T, dir, body string, state func(bool), log io.Writer) *Recorder {
	t.Helper()
	r, err := NewRecorder(RecordOptions{
		Dir: dir, Bytes: 1 << 20, Plain: true, Client: answers{body}, Logger: slog.New(slog.NewTextHandler(log, nil)), State: state,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Credentials are nowhere in a record: not those that a request is signed with, and
// not those that AWS gives.
func TestRecordHasNoCredentials(t *testing.T) {
	dir := t.TempDir()
	r := recorderOf(t, dir, `{"Credentials": "hunter2"}`, nil, io.Discard)
	call(t, r, "AssumeRole", `{"RoleArn": "hunter2"}`)
	call(t, r, "GetCallerIdentity", `{}`)
	r.o.Client = answers{`{"clusterArns": ["arn"]}`}
	call(t, r, "ListClusters", `{}`)
	r.o.Client = answers{}
	call(t, r, "DescribeTasks", `{}`)
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	text, err = io.ReadAll(z)
	if err != nil || bytes.Contains(text, []byte("hunter2")) || bytes.Contains(text, []byte("10.20.30.40")) {
		t.Errorf("%s, %v", text, err)
	}
	for _, want := range []string{`"op":"ListClusters"`, `"error":"connection failed"`} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("no %s: %s", want, text)
		}
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A disk that takes nothing ends the record, with one line, and nothing else.
func TestRecordStopsWhenItCannotBeWritten(t *testing.T) {
	var log bytes.Buffer
	states := make(chan bool, 4)
	r := recorderOf(t, t.TempDir(), `{"clusterArns": []}`, func(on bool) { states <- on }, &log)
	if !<-states {
		t.Fatal("it does not record")
	}
	_ = r.file.Close() // as good as a full disk
	for i := 0; ; i++ {
		call(t, r, "ListClusters", `{}`)
		select {
		case on := <-states:
			if on {
				t.Error("it records")
			}
		case <-time.After(10 * time.Millisecond):
			if i < 1000 {
				continue
			}
			t.Fatal("it never stops")
		}
		break
	}
	call(t, r, "ListClusters", `{}`)
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "recording has stopped"); n != 1 {
		t.Errorf("it is said %d times: %s", n, &log)
	}
}

// A reply is copied into the next files once its request is not made again, and not for
// ever: page tokens and batches of tasks make a new request of each.
func TestRecordStaysWithinItsLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := recorderOf(t, dir, "", nil, io.Discard)
		defer func() { _ = r.Close(context.Background()) }()
		random := rand.New(rand.NewPCG(1, 2))
		noise := func(n int) string { // hardly to be compressed
			b := make([]byte, n)
			for i := range b {
				b[i] = "0123456789abcdef"[random.IntN(16)]
			}
			return string(b)
		}
		for i := range 900 {
			r.o.Client = answers{fmt.Sprintf(`{"serviceArns": [%q]}`, noise(4000))}
			call(t, r, []string{"ListServices", "DescribeTaskDefinition", "DescribeTasks"}[i%3], fmt.Sprintf(`{"nextToken": "%d"}`, i))
			time.Sleep(time.Second)
			synctest.Wait()
			if i%100 != 0 {
				continue
			}
			all := int64(0)
			files, _ := filepath.Glob(filepath.Join(dir, "*"))
			for _, file := range files {
				info, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				all += info.Size()
			}
			if all > r.o.Bytes+8000 {
				t.Fatalf("after %d replies: %d files of %d bytes, limit %d", i, len(files), all, r.o.Bytes)
			}
			if r.number > 1+i/20 {
				t.Fatalf("after %d replies it is at file %d", i, r.number)
			}
		}
		if err := r.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		size := int64(0)
		for _, e := range r.kept {
			size += e.size()
		}
		if size > r.o.Bytes || len(r.last) > 500 {
			t.Errorf("%d bytes are kept, and %d replies", size, len(r.last))
		}
	})
}
