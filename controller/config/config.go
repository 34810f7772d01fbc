package config

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/castoff-ecs/castoff/controller/policy"
)

// Config is everything that an operator may set.
type Config struct {
	// Region is the AWS region. Empty: the AWS SDK's own chain decides, and
	// after it the metadata of the ECS task that castoff runs in.
	Region string `yaml:"region"`
	// Clusters are the ECS clusters to watch, by name or ARN. Empty: every
	// cluster of the region. One in which castoff has a target out is watched all
	// the same: see [Config.LeftBehind].
	Clusters []string `yaml:"clusters"`
	AWS      AWS      `yaml:"aws"`
	// State is the directory of the journal. Empty: in memory, and a restart
	// forgets what castoff took out, so that mode detach is refused. [NoState] is
	// the same, and meant. A relative path starts from the directory in which
	// castoff runs.
	State     string    `yaml:"state"`
	Polling   Polling   `yaml:"polling"`
	Timelines Timelines `yaml:"timelines"`
	// Mode is for services that no rule gives one. Default observe.
	Mode policy.Mode `yaml:"mode"`
	// Limits are for services that no rule names, and what rules start from.
	// Their own Mode is not used: see [Config.LimitsOf].
	Limits policy.Limits `yaml:"limits"`
	// Services are the rules for some services. The first that matches decides.
	Services []Service          `yaml:"services"`
	Fleet    policy.FleetLimits `yaml:"fleet"` // of all services together
	Pause    []Pause            `yaml:"pause"`
	Record   Record             `yaml:"record"`
	// Notifications are the receivers of what happens.
	Notifications []Receiver `yaml:"notifications"`
	Web           Web        `yaml:"web"`
	Log           Log        `yaml:"log"`
}

// NoState is a State that says: in memory, whatever castoff may do. A directory of
// that name is ./none.
const NoState = "none"

// StateDir is the directory of the journal; empty for none.
func (c Config) StateDir() string {
	if c.State == NoState {
		return ""
	}
	return c.State
}

// AWS is how castoff calls AWS.
type AWS struct {
	AssumeRole AssumeRole `yaml:"assume_role"`
	Budgets    Budgets    `yaml:"budgets"`
}

// AssumeRole is the role to call AWS as. With an empty ARN castoff uses the
// credentials that the SDK finds as they are.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
type AssumeRole struct {
	ARN         string `yaml:"arn"`
	ExternalID  Secret `yaml:"external_id"`
	SessionName string `yaml:"session_name"` // default castoff
}

// Budgets are the calls per second that castoff allows itself from each of
// AWS's token buckets. Everybody in the account draws on the same buckets: the
// defaults are a quarter of the published sustained rates.
//
// Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
// and https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/throttling.html
type Budgets struct {
	ClusterResourceRead float64 `yaml:"cluster_resource_read"` // ListTasks, DescribeTasks, DescribeContainerInstances; default 5 of AWS's 20
	ServiceRead         float64 `yaml:"service_read"`          // ListServices, DescribeServices, DescribeServiceRevisions, ListGatewayRoutes; default 5 of 20
	TaskDefinitionRead  float64 `yaml:"task_definition_read"`  // DescribeTaskDefinition; default 5 of 20
	ClusterRead         float64 `yaml:"cluster_read"`          // ListClusters, DescribeClusters; default 5 of 20
	ELBRead             float64 `yaml:"elb_read"`              // every Describe* of ELBv2; default 2.5 of 10
	ELBWrite            float64 `yaml:"elb_write"`             // RegisterTargets, DeregisterTargets; default 1 of 4
}

// Polling is how often what is read. The budgets come first: a fleet too large
// for them is read less often.
type Polling struct {
	Interval          time.Duration `yaml:"interval"`           // every task; default 5s
	HotInterval       time.Duration `yaml:"hot_interval"`       // tasks and target groups of a service with a failing task; default 2s
	CalmInterval      time.Duration `yaml:"calm_interval"`      // target groups where nothing fails; default 30s
	DiscoveryInterval time.Duration `yaml:"discovery_interval"` // looking for tasks not known yet; default 15s
	InventoryInterval time.Duration `yaml:"inventory_interval"` // clusters, services, target groups; default 60s
	Deadline          time.Duration `yaml:"deadline"`           // of one pass; default 15s
	// ReplyAge is by how much a reply of AWS's may be older than its request; default
	// 2s. ECS documents eventual consistency and no figure: a new task was seen to be
	// unknown for 1 s, and AWS advises to wait a couple of seconds before reading what
	// was just written. ELBv2 says nothing.
	//
	// Sources: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
	// and https://github.com/dask/dask-cloudprovider/issues/483
	ReplyAge time.Duration `yaml:"reply_age"`
}

// Timelines is when timelines close, and how many closed ones are kept.
type Timelines struct {
	RecoveryWindow time.Duration `yaml:"recovery_window"` // healthy for so long is recovered; default 3m
	SettleWindow   time.Duration `yaml:"settle_window"`   // after the task stopped, for its replacement to serve and its rows to go; default 10m
	LostAfter      time.Duration `yaml:"lost_after"`      // without evidence; default 1h
	// ReportLag is the longest that a container's health change may take to reach ECS;
	// default 20s, at which the EC2 agent reports (amazon-ecs-agent,
	// DefaultContainerMetricsPublishInterval). Fargate's is not published.
	ReportLag time.Duration `yaml:"report_lag"`
	Keep      Keep          `yaml:"keep"`
}

// Keep limits the closed timelines that are kept: whichever limit is met first
// drops the oldest.
type Keep struct {
	Count int           `yaml:"count"` // default 10000
	Age   time.Duration `yaml:"age"`   // since the timeline closed; default 168h
}

// Record is what is kept of AWS's answers, to be played by `castoff replay`.
type Record struct {
	// Dir is where; empty: nothing is kept. A relative path starts from the
	// directory in which castoff runs.
	Dir       string `yaml:"dir"`
	MaxMB     int    `yaml:"max_mb"`     // of all that is there, in millions of bytes; the oldest goes first; default 256
	KeepNames bool   `yaml:"keep_names"` // account ids, names, addresses and texts are not replaced
}

// Anonymous is the configuration without what names anybody: as much of it as
// decides what castoff says, but for the clusters, and the rules and pauses of single
// services.
func (c Config) Anonymous() Config {
	a := Default()
	a.AWS.Budgets, a.Polling, a.Timelines, a.Mode, a.Limits, a.Fleet = c.AWS.Budgets, c.Polling, c.Timelines, c.Mode, c.Limits, c.Fleet
	return a
}

// Web is where castoff is seen.
type Web struct {
	Listen string `yaml:"listen"` // host:port; default :9468, which is every address
	// ConfigFile is a web configuration of the Prometheus exporter-toolkit: TLS
	// and basic authentication. Empty: neither. A relative path starts from the
	// directory in which castoff runs.
	ConfigFile string `yaml:"config_file"`
	// ExternalURL is castoff's own, for links in notifications. Empty: they have
	// none. A proxy may serve castoff below a path.
	ExternalURL string `yaml:"external_url"`
	// Hosts are more names by which castoff is reached, such as one of Cloud Map. With
	// these or ExternalURL set, castoff refuses requests for any other name; IP
	// addresses and localhost always work.
	Hosts []string `yaml:"hosts"`
}

// Log is how castoff logs.
type Log struct {
	Level  Level  `yaml:"level"`  // default info
	Format Format `yaml:"format"` // default json
}

// Level is the least level that is logged.
type Level string

// The levels.
const (
	Debug Level = "debug"
	Info  Level = "info"
	Warn  Level = "warn"
	Error Level = "error"
)

// Slog is the level in log/slog's terms.
func (l Level) Slog() slog.Level {
	switch l {
	case Debug:
		return slog.LevelDebug
	case Warn:
		return slog.LevelWarn
	case Error:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}

// Format is how a log line is written.
type Format string

// The formats.
const (
	JSON Format = "json"
	Text Format = "text"
)

// Secret is a value that is never printed: however it is formatted or
// marshalled, it comes out redacted.
type Secret string

const redacted = "<redacted>"

// Reveal is the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String is empty when there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from printing the secret.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText keeps encoders from writing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Default is what castoff does when nobody configures it.
func Default() Config {
	return Config{
		AWS: AWS{
			AssumeRole: AssumeRole{SessionName: "castoff"},
			Budgets: Budgets{
				ClusterResourceRead: 5,
				ServiceRead:         5,
				TaskDefinitionRead:  5,
				ClusterRead:         5,
				ELBRead:             2.5,
				ELBWrite:            1,
			},
		},
		Polling: Polling{
			Interval:          5 * time.Second,
			HotInterval:       2 * time.Second,
			CalmInterval:      30 * time.Second,
			DiscoveryInterval: 15 * time.Second,
			InventoryInterval: time.Minute,
			Deadline:          15 * time.Second,
			ReplyAge:          2 * time.Second,
		},
		Timelines: Timelines{
			RecoveryWindow: 3 * time.Minute,
			SettleWindow:   10 * time.Minute,
			LostAfter:      time.Hour,
			ReportLag:      20 * time.Second,
			Keep:           Keep{Count: 10_000, Age: 168 * time.Hour},
		},
		Mode:   policy.Observing,
		Limits: policy.DefaultLimits(),
		Fleet:  policy.DefaultFleetLimits(),
		Record: Record{MaxMB: 256},
		Web:    Web{Listen: ":9468"},
		Log:    Log{Level: Info, Format: JSON},
	}
}
