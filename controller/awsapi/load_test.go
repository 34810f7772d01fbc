package awsapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// bare takes away whatever the machine says about AWS.
func bare(t *testing.T) {
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "AWS_") || name == metadataEnv {
			t.Setenv(name, "")
			_ = os.Unsetenv(name)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

func TestLoadRegion(t *testing.T) {
	bare(t)
	if _, err := Load(t.Context(), LoadOptions{}); !errors.Is(err, ErrNoRegion) {
		t.Errorf("without a region: %v", err)
	}
	if cfg, err := Load(t.Context(), LoadOptions{Region: fakeRegion}); err != nil || cfg.Region != fakeRegion {
		t.Errorf("region %q, %v", cfg.Region, err)
	}
	t.Setenv("AWS_REGION", "eu-west-1")
	if cfg, err := Load(t.Context(), LoadOptions{}); err != nil || cfg.Region != "eu-west-1" {
		t.Errorf("region %q, %v", cfg.Region, err)
	}
}

func TestLoadRegionOfTheTask(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		region     string
		says       string
	}{
		{"a task", `{"Cluster":"default","TaskARN":"arn:aws:ecs:eu-central-1:123456789012:task/default/abc"}`, 200, fakeRegion, ""},
		{"no ARN", `{}`, 200, "", "no task ARN, HTTP 200"},
		{"not ECS", `<html>`, 404, "", "HTTP 404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bare(t)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v4/x/task" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				w.WriteHeader(c.status)
				_, _ = fmt.Fprint(w, c.body)
			}))
			defer server.Close()
			t.Setenv(metadataEnv, server.URL+"/v4/x")
			cfg, err := Load(t.Context(), LoadOptions{})
			if cfg.Region != c.region {
				t.Errorf("region %q", cfg.Region)
			}
			if c.says == "" != (err == nil) || err != nil && (!errors.Is(err, ErrNoRegion) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// The endpoint of the environment is used, and the assumed role's credentials
// are those that sign.
func TestLoadAssumesTheRole(t *testing.T) {
	bare(t)
	var signedBy, session, external string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "" {
			signedBy = r.Header.Get("Authorization")
			_, _ = fmt.Fprint(w, `{"clusterArns":["arn:aws:ecs:eu-central-1:123456789012:cluster/prod"],"serviceArns":[],"taskArns":[]}`)
			return
		}
		_ = r.ParseForm()
		if r.Form.Get("Action") == "AssumeRole" {
			session, external = r.Form.Get("RoleSessionName"), r.Form.Get("ExternalId")
			_, _ = fmt.Fprint(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>`+
				`<AccessKeyId>ASSUMED</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>`+
				`</Credentials></AssumeRoleResult></AssumeRoleResponse>`)
			return
		}
		_, _ = fmt.Fprint(w, `<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups/></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>`)
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	cfg, err := Load(t.Context(), LoadOptions{Region: fakeRegion, AssumeRoleARN: "arn:aws:iam::123456789012:role/castoff", ExternalID: "ext"})
	if err != nil {
		t.Fatal(err)
	}
	if err := observer(t, Options{Config: cfg}).Preflight(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(signedBy, "Credential=ASSUMED/") || session != "castoff" || external != "ext" {
		t.Errorf("signed by %q, session %q, external id %q", signedBy, session, external)
	}
}

func TestDeniedRoleIsDenied(t *testing.T) {
	bare(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, `<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>may not assume it</Message></Error></ErrorResponse>`)
	}))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "SECRET")
	cfg, err := Load(t.Context(), LoadOptions{Region: fakeRegion, AssumeRoleARN: "arn:aws:iam::123456789012:role/castoff"})
	if err != nil {
		t.Fatal(err)
	}
	err = observer(t, Options{Config: cfg}).Preflight(t.Context())
	if Classify(err) != fleet.Denied || !strings.Contains(err.Error(), "may not assume it") {
		t.Errorf("error %v", err)
	}
}

func TestNoCredentialsAtAll(t *testing.T) {
	bare(t)
	cfg, err := Load(t.Context(), LoadOptions{Region: fakeRegion})
	if err != nil {
		t.Fatal(err)
	}
	err = observer(t, Options{Config: cfg}).Preflight(t.Context())
	if Classify(err) != fleet.Denied || !strings.Contains(fmt.Sprint(err), "no AWS credentials") {
		t.Errorf("error %v", err)
	}
	t.Log(err)
	s := observer(t, Options{Config: cfg}).Observe(t.Context(), nil)
	if len(s.Gaps) != 1 || s.Gaps[0].Class != fleet.Denied {
		t.Errorf("gaps %v", s.Gaps)
	}
}
