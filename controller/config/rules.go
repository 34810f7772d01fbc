package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// rule is something that a Config must hold. It is not asked when one of its
// settings could not be read: one mistake, one report.
type rule struct {
	name     string   // also of its bad file under testdata/rules
	settings []string // that it is about; the first is the one to blame
	check    func(c *Config, blame blame)
}

// blame reports that a rule is broken by the setting at path. An empty got is
// not shown.
type blame func(path, must, got string)

// The formats that AWS asks for.
var (
	// https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html
	regionFormat = regexp.MustCompile(`^[a-z]{2,}(-[a-z]+)+-[0-9]{1,2}$`)
	// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateCluster.html
	clusterName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,255}$`)
	clusterARN  = regexp.MustCompile(`^arn:aws(-[a-z]+)*:ecs:([a-z0-9-]+):[0-9]{12}:cluster/[a-zA-Z0-9_-]{1,255}$`)
	// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_CreateService.html
	serviceName = clusterName
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
	roleARN     = regexp.MustCompile(`^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/([\x21-\x7e]{1,510}/)?[a-zA-Z0-9_+=,.@-]{1,64}$`)
	sessionName = regexp.MustCompile(`^[a-zA-Z0-9_+=,.@-]{2,64}$`)
	externalID  = regexp.MustCompile(`^[a-zA-Z0-9_+=,.@:/-]{2,}$`)
)

// maxExternalID is apart from the format, because a regular expression repeats
// a thousand times at most.
const maxExternalID = 1224

// rules are the rules of single settings and of settings among each other.
func rules() []rule {
	return slices.Concat(
		[]rule{regionRule, clusterFormat, clusterRegion, clusterUnique, roleFormat, sessionFormat, externalIDFormat, externalIDNeedsRole},
		budgetRules(),
		pollingRules(),
		timelineRules(),
		notificationRules(),
		[]rule{
			modeChoice, stateRequired,
			patternFormat, patternRequired, patternReached, serviceModeChoice,
			scopeChoice, pauseCluster, pauseService, pauseEnd, pauseOwner, pauseReason,
			recordSize, listenFormat, externalURL, hostsFormat,
			oneOf("log.level", func(c *Config) string { return string(c.Log.Level) }, string(Debug), string(Info), string(Warn), string(Error)),
			oneOf("log.format", func(c *Config) string { return string(c.Log.Format) }, string(JSON), string(Text)),
		},
	)
}

// broken are the problems of a Config. r says what the file had and where.
func broken(c *Config, r *reader) []Problem {
	var problems []Problem
	for _, rule := range rules() {
		if slices.ContainsFunc(rule.settings, r.unread) {
			continue
		}
		rule.check(c, func(path, must, got string) {
			if r.unread(path) {
				return
			}
			at, inFile := r.lines[path]
			switch {
			case inFile || len(r.lines) == 0:
			case strings.Contains(path, "]"):
				// What an item of a list lacks.
				at = r.line(path)
			default:
				// A default breaks a rule only through the rule's other settings.
				for _, other := range rule.settings {
					at = max(at, r.lines[other])
				}
				got += ", the default"
			}
			problems = append(problems, Problem{Line: at, Path: path, Rule: rule.name, Must: must, Got: got})
		})
	}
	return problems
}

func budgetRules() []rule {
	budget := func(path string, value func(*Budgets) float64) rule {
		const least, most = 0.1, 1000
		return rule{path + ".range", []string{path}, func(c *Config, blame blame) {
			if v := value(&c.AWS.Budgets); !(v >= least && v <= most) {
				blame(path, fmt.Sprintf("must be between %v and %v calls per second", least, most), strconv.FormatFloat(v, 'g', -1, 64))
			}
		}}
	}
	return []rule{
		budget("aws.budgets.cluster_resource_read", func(b *Budgets) float64 { return b.ClusterResourceRead }),
		budget("aws.budgets.service_read", func(b *Budgets) float64 { return b.ServiceRead }),
		budget("aws.budgets.task_definition_read", func(b *Budgets) float64 { return b.TaskDefinitionRead }),
		budget("aws.budgets.cluster_read", func(b *Budgets) float64 { return b.ClusterRead }),
		budget("aws.budgets.elb_read", func(b *Budgets) float64 { return b.ELBRead }),
		budget("aws.budgets.elb_write", func(b *Budgets) float64 { return b.ELBWrite }),
	}
}

func pollingRules() []rule {
	var (
		interval  = duration{"polling.interval", func(c *Config) time.Duration { return c.Polling.Interval }}
		hot       = duration{"polling.hot_interval", func(c *Config) time.Duration { return c.Polling.HotInterval }}
		calm      = duration{"polling.calm_interval", func(c *Config) time.Duration { return c.Polling.CalmInterval }}
		discovery = duration{"polling.discovery_interval", func(c *Config) time.Duration { return c.Polling.DiscoveryInterval }}
		inventory = duration{"polling.inventory_interval", func(c *Config) time.Duration { return c.Polling.InventoryInterval }}
		deadline  = duration{"polling.deadline", func(c *Config) time.Duration { return c.Polling.Deadline }}
		replyAge  = duration{"polling.reply_age", func(c *Config) time.Duration { return c.Polling.ReplyAge }}
		lostAfter = duration{"timelines.lost_after", func(c *Config) time.Duration { return c.Timelines.LostAfter }}
	)
	return []rule{
		interval.within(time.Second, 5*time.Minute),
		hot.within(time.Second, 5*time.Minute),
		hot.atMost(interval),
		calm.within(time.Second, time.Hour),
		calm.atLeast(interval),
		discovery.within(time.Second, 10*time.Minute),
		inventory.within(10*time.Second, time.Hour),
		deadline.within(time.Second, 5*time.Minute),
		replyAge.within(0, time.Minute),
		replyAgeAllows,
		// Less, and every timeline would be lost between two passes.
		lostAfter.atLeast(interval),
	}
}

func timelineRules() []rule {
	const least, most = 1, 1_000_000
	return []rule{
		duration{"timelines.recovery_window", func(c *Config) time.Duration { return c.Timelines.RecoveryWindow }}.within(time.Second, 24*time.Hour),
		duration{"timelines.settle_window", func(c *Config) time.Duration { return c.Timelines.SettleWindow }}.within(time.Second, 24*time.Hour),
		duration{"timelines.lost_after", func(c *Config) time.Duration { return c.Timelines.LostAfter }}.within(time.Minute, 168*time.Hour),
		duration{"timelines.report_lag", func(c *Config) time.Duration { return c.Timelines.ReportLag }}.within(0, 10*time.Minute),
		duration{"timelines.keep.age", func(c *Config) time.Duration { return c.Timelines.Keep.Age }}.within(time.Minute, 8760*time.Hour),
		{"timelines.keep.count.range", []string{"timelines.keep.count"}, func(c *Config, blame blame) {
			if n := c.Timelines.Keep.Count; n < least || n > most {
				blame("timelines.keep.count", fmt.Sprintf("must be between %d and %d", least, most), strconv.Itoa(n))
			}
		}},
	}
}

// recordSize: less holds no useful part of a fleet's answers.
var recordSize = rule{"record.max_mb.range", []string{"record.max_mb"}, func(c *Config, blame blame) {
	const least, most = 1, 1_000_000
	if n := c.Record.MaxMB; n < least || n > most {
		blame("record.max_mb", fmt.Sprintf("must be between %d and %d", least, most), strconv.Itoa(n))
	}
}}

// replyAgeAllows: evidence counts as old as its reply may be, so that no reading
// would ever be fresh enough to act upon.
var replyAgeAllows = rule{"polling.reply_age.stale", []string{"polling.reply_age", "limits.stale.tasks", "limits.stale.targets"}, func(c *Config, blame blame) {
	path, limit := "limits.stale.tasks", c.Limits.Stale.Tasks
	if c.Limits.Stale.Targets < limit {
		path, limit = "limits.stale.targets", c.Limits.Stale.Targets
	}
	if limit > 0 && c.Polling.ReplyAge >= limit {
		blame("polling.reply_age", fmt.Sprintf("must be less than %s, which is %s", path, brief(limit)), brief(c.Polling.ReplyAge))
	}
}}

// duration is a setting that is a duration.
type duration struct {
	path  string
	value func(*Config) time.Duration
}

func (d duration) within(least, most time.Duration) rule {
	return rule{d.path + ".range", []string{d.path}, func(c *Config, blame blame) {
		if v := d.value(c); v < least || v > most {
			blame(d.path, fmt.Sprintf("must be between %s and %s", brief(least), brief(most)), brief(v))
		}
	}}
}

func (d duration) atMost(other duration) rule {
	return rule{d.path + ".order", []string{d.path, other.path}, func(c *Config, blame blame) {
		if v, limit := d.value(c), other.value(c); v > limit {
			blame(d.path, fmt.Sprintf("must be at most %s, which is %s", other.path, brief(limit)), brief(v))
		}
	}}
}

func (d duration) atLeast(other duration) rule {
	return rule{d.path + ".order", []string{d.path, other.path}, func(c *Config, blame blame) {
		if v, limit := d.value(c), other.value(c); v < limit {
			blame(d.path, fmt.Sprintf("must be at least %s, which is %s", other.path, brief(limit)), brief(v))
		}
	}}
}

func oneOf(path string, value func(*Config) string, allowed ...string) rule {
	return rule{path + ".choice", []string{path}, func(c *Config, blame blame) {
		if v := value(c); !slices.Contains(allowed, v) {
			blame(path, "must be one of "+strings.Join(allowed, ", "), quoted(v))
		}
	}}
}

var regionRule = rule{"region.format", []string{"region"}, func(c *Config, blame blame) {
	if c.Region != "" && !regionFormat.MatchString(c.Region) {
		blame("region", "must be the code of an AWS region, such as eu-central-1", quoted(c.Region))
	}
}}

// eachCluster calls check for every cluster with its path.
func eachCluster(c *Config, check func(path, cluster string)) {
	for i, cluster := range c.Clusters {
		check(fmt.Sprintf("clusters[%d]", i), cluster)
	}
}

func isCluster(s string) bool { return clusterName.MatchString(s) || clusterARN.MatchString(s) }

var clusterFormat = rule{"clusters.format", []string{"clusters"}, func(c *Config, blame blame) {
	eachCluster(c, func(path, cluster string) {
		if !isCluster(cluster) {
			blame(path, "must be the name of an ECS cluster or its ARN, arn:aws:ecs:REGION:ACCOUNT:cluster/NAME", quoted(cluster))
		}
	})
}}

var clusterRegion = rule{"clusters.region", []string{"clusters", "region"}, func(c *Config, blame blame) {
	eachCluster(c, func(path, cluster string) {
		parts := clusterARN.FindStringSubmatch(cluster)
		if c.Region != "" && parts != nil && parts[2] != c.Region {
			blame(path, "must be in the region that is set, "+c.Region, quoted(cluster))
		}
	})
}}

// Metrics and pages name a cluster by its short name alone, so that two of one
// name could not be told apart.
var clusterUnique = rule{"clusters.unique", []string{"clusters"}, func(c *Config, blame blame) {
	first := map[string]string{}
	eachCluster(c, func(path, cluster string) {
		if !isCluster(cluster) {
			return
		}
		name := fleet.ClusterARN(cluster).Name()
		if was, seen := first[name]; seen {
			blame(path, "must be another cluster than "+was, quoted(cluster))
			return
		}
		first[name] = path
	})
}}

var roleFormat = rule{"aws.assume_role.arn.format", []string{"aws.assume_role.arn"}, func(c *Config, blame blame) {
	if arn := c.AWS.AssumeRole.ARN; arn != "" && !roleARN.MatchString(arn) {
		blame("aws.assume_role.arn", "must be the ARN of an IAM role, arn:aws:iam::ACCOUNT:role/NAME", quoted(arn))
	}
}}

var sessionFormat = rule{"aws.assume_role.session_name.format", []string{"aws.assume_role.session_name"}, func(c *Config, blame blame) {
	if name := c.AWS.AssumeRole.SessionName; !sessionName.MatchString(name) {
		blame("aws.assume_role.session_name", "must be 2 to 64 letters, digits or any of _+=,.@-", quoted(name))
	}
}}

var externalIDFormat = rule{"aws.assume_role.external_id.format", []string{"aws.assume_role.external_id"}, func(c *Config, blame blame) {
	id := c.AWS.AssumeRole.ExternalID.Reveal()
	if id == "" {
		return
	}
	if len(id) > maxExternalID || !externalID.MatchString(id) {
		blame("aws.assume_role.external_id", fmt.Sprintf("must be 2 to %d letters, digits or any of _+=,.@:/-", maxExternalID), "")
	}
}}

var externalIDNeedsRole = rule{"aws.assume_role.external_id.needs_role", []string{"aws.assume_role.external_id", "aws.assume_role.arn"}, func(c *Config, blame blame) {
	if role := c.AWS.AssumeRole; role.ExternalID != "" && role.ARN == "" {
		blame("aws.assume_role.external_id", "must come with aws.assume_role.arn, the role that asks for it", "")
	}
}}

var listenFormat = rule{"web.listen.format", []string{"web.listen"}, func(c *Config, blame blame) {
	_, port, err := net.SplitHostPort(c.Web.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		blame("web.listen", "must be host:port or :port, such as 127.0.0.1:9468", quoted(c.Web.Listen))
	}
}}

var hostName = regexp.MustCompile(`^[a-zA-Z0-9_]([a-zA-Z0-9_.-]{0,251}[a-zA-Z0-9])?$`)

var hostsFormat = rule{"web.hosts.format", []string{"web.hosts"}, func(c *Config, blame blame) {
	for i, host := range c.Web.Hosts {
		if !hostName.MatchString(host) {
			blame(fmt.Sprintf("web.hosts[%d]", i), "must be a host name without scheme, port or wildcard, such as castoff.monitoring.internal", quoted(host))
		}
	}
}}

// HostNames are the names by which castoff is reached: those of web.hosts, of
// web.external_url and of web.listen. Empty where neither of the first two is set: then
// castoff answers for every name.
func (c *Config) HostNames() []string {
	names := slices.Clone(c.Web.Hosts)
	if u, err := url.Parse(c.Web.ExternalURL); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	if len(names) == 0 {
		return nil
	}
	if host, _, err := net.SplitHostPort(c.Web.Listen); err == nil && host != "" {
		names = append(names, host)
	}
	return names
}
