package awsapi

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Preflight makes one cheap try of what every pass rests on: credentials, the
// endpoint, the configured clusters, the lists. The error says what was tried,
// where, and what to do; [Classify] works on it. It tells all that is denied
// or unknown at once. A *NoClustersError is no failure of AWS's.
func (o *Observer) Preflight(ctx context.Context) error {
	region := o.opts.Config.Region
	if creds, ok := o.opts.Config.Credentials.(credentials); ok {
		if _, err := creds.Retrieve(ctx); err != nil {
			return &adviceError{err: err, text: fmt.Sprintf(
				"credentials for %s: %s; give the task a task role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID", region, explain(err))}
		}
	}
	cluster, err := o.preflightClusters(ctx)
	if err != nil && Classify(err) != fleet.Denied && Classify(err) != fleet.NotFound {
		return err // the other calls would only say the same again
	}
	errs := []error{err}
	if cluster != nil {
		services, err := o.ecs.ListServices(ctx, &ecs.ListServicesInput{Cluster: cluster, MaxResults: aws.Int32(1)})
		if err == nil {
			err = noList(services.ServiceArns, "services")
		}
		errs = append(errs, advise("ecs:ListServices", region, err))
		tasks, err := o.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: cluster, MaxResults: aws.Int32(1)})
		if err == nil {
			err = noList(tasks.TaskArns, "tasks")
		}
		errs = append(errs, advise("ecs:ListTasks", region, err))
	}
	groups, err := o.elb.DescribeTargetGroups(ctx, &elb.DescribeTargetGroupsInput{PageSize: aws.Int32(1)})
	if err == nil {
		err = noList(groups.TargetGroups, "target groups")
	}
	errs = append(errs, advise("elasticloadbalancing:DescribeTargetGroups", region, err))
	if err := errors.Join(errs...); err != nil || cluster != nil {
		return err
	}
	return &NoClustersError{Region: region, Account: o.account(ctx)}
}

// preflightClusters checks the configured clusters, or that clusters can be
// listed, and returns one to try further calls on; nil when there is none.
func (o *Observer) preflightClusters(ctx context.Context) (*string, error) {
	region, ids := o.opts.Config.Region, o.opts.Clusters
	if len(ids) == 0 {
		out, err := o.ecs.ListClusters(ctx, &ecs.ListClustersInput{MaxResults: aws.Int32(1)})
		if err == nil {
			err = noList(out.ClusterArns, "clusters")
		}
		if err != nil {
			return nil, advise("ecs:ListClusters", region, err)
		}
		if len(out.ClusterArns) == 0 {
			return nil, nil // nothing there yet is no mistake
		}
		return aws.String(out.ClusterArns[0]), nil
	}
	var found *string
	var unknown []string
	for from := 0; from < len(ids); from += clustersACall {
		part := ids[from:min(from+clustersACall, len(ids))]
		out, err := o.ecs.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: part})
		if err == nil {
			err = noList(out.Clusters, "clusters")
		}
		if err != nil {
			return nil, advise("ecs:DescribeClusters", region, err)
		}
		there := make(map[string]bool, 2*len(part))
		for _, c := range out.Clusters {
			if value(c.Status) != "INACTIVE" {
				there[value(c.ClusterArn)], there[value(c.ClusterName)] = true, true
			}
		}
		for _, id := range part {
			if there[id] {
				found = aws.String(id)
			} else {
				unknown = append(unknown, id)
			}
		}
	}
	if len(unknown) > 0 {
		return found, gapf(fleet.NotFound, "no ECS cluster %s in %s: check the names, the region and the account",
			strings.Join(unknown, ", "), region)
	}
	return found, nil
}

// advise says what to do about a failed call; nil stays nil.
func advise(action, region string, err error) error {
	if err == nil {
		return nil
	}
	// AWS ends its sentences; here it goes on.
	said := strings.TrimRight(explain(err), ". ")
	if errors.Is(err, context.DeadlineExceeded) {
		said = "no reply" // the rest is about the client's own timer
	}
	var todo string
	var foreign *foreignError
	switch class := Classify(err); {
	case errors.As(err, &foreign), garbled(err):
		if host := hostOf(err); host != "" {
			said = host + " answers: " + said
		}
		todo = "something else answers in place of AWS: check HTTPS_PROXY, NO_PROXY, the VPC endpoints and AWS_ENDPOINT_URL"
	case class == fleet.Denied && unwelcome(err):
		todo = "renew the credentials, and check the clock: AWS does not take these"
	case class == fleet.Denied:
		todo = "allow " + action + " in the IAM policy, or check the credentials"
	case class == fleet.Throttled:
		todo = "others in the account use up the rate limit; try again"
	case class == fleet.Transient:
		todo = "check the network, the region and AWS_ENDPOINT_URL"
	default:
		todo = "check the region and AWS_ENDPOINT_URL"
	}
	return &adviceError{text: fmt.Sprintf("%s in %s: %s; %s", action, region, said, todo), err: err}
}

// unwelcome reports that AWS does not know or no longer takes the credentials,
// which no policy mends.
func unwelcome(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnrecognizedClientException", "InvalidClientTokenId",
		"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature", "IncompleteSignatureException", "AuthFailure":
		return true
	default:
		return false
	}
}

// hostOf is who answered; empty when nobody knows.
func hostOf(err error) string {
	var r *smithyhttp.ResponseError
	if !errors.As(err, &r) || r.Response == nil || r.Response.Response == nil || r.Response.Request == nil || r.Response.Request.URL == nil {
		return ""
	}
	return r.Response.Request.URL.Host
}

// adviceError is an error whose text is for an operator; the cause is there
// for Classify.
type adviceError struct {
	text string
	err  error
}

func (e *adviceError) Error() string { return e.text }
func (e *adviceError) Unwrap() error { return e.err }
