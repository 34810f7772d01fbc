package awsapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// LoadOptions say what differs from the SDK's default chain.
type LoadOptions struct {
	Region        string // empty: the chain's, or on Fargate the task's own
	AssumeRoleARN string // empty: the chain's credentials as they are
	ExternalID    string // of the assumed role
	SessionName   string // of the assumed role; empty: castoff
}

// ErrNoRegion says that nothing names the region to watch.
var ErrNoRegion = errors.New("no AWS region: set --region or AWS_REGION, or region in the profile of AWS_PROFILE")

// metadataEnv has the address of the ECS task metadata endpoint, version 4.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html
const metadataEnv = "ECS_CONTAINER_METADATA_URI_V4"

// metadataTimeout bounds what is a call to the same host.
const metadataTimeout = 2 * time.Second

// Load reads the SDK's default chain: region, credentials, AWS_ENDPOINT_URL,
// AWS_CA_BUNDLE, retry settings, profiles. It makes no call to AWS, so wrong
// credentials show only later, see [Observer.Preflight]. Without any region
// the error is ErrNoRegion.
func Load(ctx context.Context, o LoadOptions) (aws.Config, error) {
	var opts []func(*config.LoadOptions) error
	if o.Region != "" {
		opts = append(opts, config.WithRegion(o.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS configuration: %s; check AWS_PROFILE, AWS_CONFIG_FILE and AWS_CA_BUNDLE", explain(err))
	}
	if err := checkEndpoints(cfg); err != nil {
		return aws.Config{}, err
	}
	if cfg.Region == "" {
		if cfg.Region, err = taskRegion(ctx); err != nil {
			return aws.Config{}, err
		}
	}
	if o.AssumeRoleARN != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), o.AssumeRoleARN, func(r *stscreds.AssumeRoleOptions) {
			r.RoleSessionName = cmp.Or(o.SessionName, "castoff")
			if o.ExternalID != "" {
				r.ExternalID = aws.String(o.ExternalID)
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(role)
	}
	if cfg.HTTPClient == nil { // then each client of the SDK would make one of these for itself, and a record could stand in front of none
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	return cfg, nil
}

// endpointEnv are the variables by which the SDK's clients are sent elsewhere.
//
// Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
var endpointEnv = []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECS", "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "AWS_ENDPOINT_URL_STS"}

// checkEndpoints names the setting that is no URL: the SDK would complain of
// each call instead.
func checkEndpoints(cfg aws.Config) error {
	if ignored, _ := strconv.ParseBool(os.Getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")); ignored {
		return nil
	}
	for _, name := range endpointEnv {
		if value := os.Getenv(name); value != "" && !isEndpoint(value) {
			return fmt.Errorf("%s is no URL: %q; give it as https://host", name, value)
		}
	}
	if cfg.BaseEndpoint != nil && !isEndpoint(*cfg.BaseEndpoint) {
		return fmt.Errorf("endpoint_url of the profile is no URL: %q; give it as https://host", *cfg.BaseEndpoint)
	}
	return nil
}

func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// taskRegion is the region of the ECS task that castoff itself runs in.
func taskRegion(ctx context.Context) (string, error) {
	base := os.Getenv(metadataEnv)
	if base == "" {
		return "", ErrNoRegion
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/task", nil)
	if err != nil {
		return "", fmt.Errorf("%w (%s: %w)", ErrNoRegion, metadataEnv, err)
	}
	// Not the default client: the endpoint is on this host and no proxy reaches it.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w (asking the ECS task metadata: %w)", ErrNoRegion, err)
	}
	defer resp.Body.Close()
	var task struct{ TaskARN string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&task); err != nil {
		return "", fmt.Errorf("%w (reading the ECS task metadata, HTTP %d: %w)", ErrNoRegion, resp.StatusCode, err)
	}
	// arn:aws:ecs:REGION:ACCOUNT:task/…
	parts := strings.SplitN(task.TaskARN, ":", 6)
	if len(parts) < 6 || parts[3] == "" {
		return "", fmt.Errorf("%w (the ECS task metadata has no task ARN, HTTP %d)", ErrNoRegion, resp.StatusCode)
	}
	return parts[3], nil
}
