package controller

import (
	"log/slog"
	"net/http"
	"slices"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/fleet"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/policy"
)

// down is an AWS that cannot be reached.
type down struct{}

func (down) RoundTrip(*http.Request) (*http.Response, error) { return nil, syscall.ECONNREFUSED }

// A journal may have a detachment without a reading of its task, as older ones do. The
// task is asked for by name all the same: that no list has it ends nothing.
func TestTaskOfADetachmentIsAskedFor(t *testing.T) {
	const arn = "arn:aws:ecs:eu-central-1:123456789012:"
	d := policy.Detachment{
		Task: arn + "task/prod/0123", Cluster: arn + "cluster/prod", Service: fleet.ServiceID{Cluster: "prod", Name: "web"},
	}
	observer, err := awsapi.New(awsapi.Options{Config: aws.Config{
		Region: "eu-central-1", HTTPClient: &http.Client{Transport: down{}}, Credentials: credentials.NewStaticCredentialsProvider("AKID", "SECRET", ""),
	}})
	if err != nil {
		t.Fatal(err)
	}
	remind(config.Default(), observer, &Options{
		Past: journal.Contents{Detachments: []policy.Detachment{d}}, Logger: slog.New(slog.DiscardHandler),
	})
	gaps := observer.Observe(t.Context(), nil).Gaps
	if !slices.ContainsFunc(gaps, func(g fleet.Gap) bool { return g.Kind == fleet.GapTasks && g.MayHide(d.Cluster, d.Service, d.Task) }) {
		t.Errorf("nobody asked for it: %+v", gaps)
	}
}
