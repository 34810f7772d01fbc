package awsapi

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// altering has replies of one operation say something else.
type altering struct {
	*fake
	operation string
	edit      func(reply string) string // nil: as they are
}

func (a *altering) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	asked := strings.HasSuffix(req.Header.Get("X-Amz-Target"), "."+a.operation) || bytes.Contains(body, []byte("Action="+a.operation+"&"))
	rep, err := a.fake.Do(req)
	if err != nil || !asked || a.edit == nil {
		return rep, err
	}
	text, err := io.ReadAll(rep.Body)
	if err != nil {
		return nil, err
	}
	said := a.edit(string(text))
	rep.Body, rep.ContentLength = io.NopCloser(strings.NewReader(said)), int64(len(said))
	return rep, nil
}

// without leaves texts out of a reply, each where it is first.
func without(parts ...string) func(string) string {
	return func(reply string) string {
		for _, part := range parts {
			if !strings.Contains(reply, part) {
				panic(part + " is not in " + reply)
			}
			reply = strings.Replace(reply, part, "", 1)
		}
		return reply
	}
}

// attributesReply are those of a group whose thresholds hold castoff back.
const attributesReply = `<DescribeTargetGroupAttributesResponse><DescribeTargetGroupAttributesResult><Attributes>` +
	`<member><Key>load_balancing.cross_zone.enabled</Key><Value>false</Value></member>` +
	`<member><Key>target_group_health.dns_failover.minimum_healthy_targets.count</Key><Value>3</Value></member>` +
	`<member><Key>target_group_health.dns_failover.minimum_healthy_targets.percentage</Key><Value>off</Value></member>` +
	`<member><Key>target_group_health.unhealthy_state_routing.minimum_healthy_targets.count</Key><Value>2</Value></member>` +
	`<member><Key>target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage</Key><Value>off</Value></member>` +
	`</Attributes></DescribeTargetGroupAttributesResult></DescribeTargetGroupAttributesResponse>`

// SAFETY: what a reply about a cluster or a target group lacks is not the default
// that allows more. A Gap says so, what was known stays, and at first nothing is known.
func TestRepliesWithoutAMember(t *testing.T) {
	attribute := func(key, val string) string {
		return "<member><Key>" + key + "</Key><Value>" + val + "</Value></member>"
	}
	dns, routing := "target_group_health.dns_failover.minimum_healthy_targets.", "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
	cluster := func(s *fleet.Snapshot) string { return fmt.Sprint(s.Clusters[0].Status, s.Clusters[0].Tags) }
	facts := func(s *fleet.Snapshot) string {
		g := s.TargetGroups[0]
		return fmt.Sprint(g.TargetType, g.Protocol, g.Check)
	}
	attributes := func(s *fleet.Snapshot) string {
		a := s.TargetGroups[0].Attributes
		return fmt.Sprint(a.Known, a.CrossZone, len(a.Raw))
	}
	tagged := func(s *fleet.Snapshot) string { return fmt.Sprint(s.TargetGroups[0].Tags) }
	rows := func(s *fleet.Snapshot) string { return fmt.Sprint(s.TargetGroups[0].Targets) }
	for _, in := range []struct {
		operation, name string
		edit            func(string) string
		kind            fleet.GapKind
		says            func(*fleet.Snapshot) string
		later           bool // it can be told from one that is whole only by what was known
	}{
		{"DescribeClusters", "no tags", without(`,"tags":[{"key":"team","value":"edge"}]`), fleet.GapTags, cluster, true},
		{"DescribeClusters", "no key of a tag", without(`"key":"team",`), fleet.GapTags, cluster, false},
		{"DescribeClusters", "no status", without(`"status":"ACTIVE",`), fleet.GapCluster, cluster, false},
		{"DescribeClusters", "no ARN", without(`"clusterArn":"` + ecsARN("cluster/c00") + `",`), fleet.GapCluster, cluster, false},
		{"DescribeTaskDefinition", "no name of a container", without(`"name":"app"`), fleet.GapTaskDefinition, nil, false},
		{"DescribeTaskDefinition", "no command of a check", without(`"command":["CMD","true"]`), fleet.GapTaskDefinition, nil, false},
		{"DescribeTaskDefinition", "no containers", func(string) string { return `{"taskDefinition":{"containerDefinitions":[]}}` }, fleet.GapTaskDefinition, nil, false},
		{"DescribeTargetGroups", "no type", without("<TargetType>ip</TargetType>"), fleet.GapTargetGroup, facts, false},
		{"DescribeTargetGroups", "no protocol", without("<Protocol>TCP</Protocol>"), fleet.GapTargetGroup, facts, false},
		{"DescribeTargetGroupAttributes", "no list", func(string) string {
			return "<DescribeTargetGroupAttributesResponse><DescribeTargetGroupAttributesResult/></DescribeTargetGroupAttributesResponse>"
		}, fleet.GapAttributes, attributes, false},
		{"DescribeTargetGroupAttributes", "no zones", without(attribute(crossZoneAttribute, "false")), fleet.GapAttributes, attributes, false},
		{"DescribeTargetGroupAttributes", "a number of one threshold", without(attribute(dns+"count", "3")), fleet.GapAttributes, attributes, false},
		{"DescribeTargetGroupAttributes", "no percentage", without(attribute(routing+"percentage", "off")), fleet.GapAttributes, attributes, false},
		{
			"DescribeTargetGroupAttributes", "no thresholds",
			without(attribute(dns+"count", "3"), attribute(dns+"percentage", "off"), attribute(routing+"count", "2"), attribute(routing+"percentage", "off")),
			fleet.GapAttributes, attributes, true,
		},
		{"DescribeTargetGroupAttributes", "no key", without("<Key>" + dns + "count</Key>"), fleet.GapAttributes, attributes, false},
		{"DescribeTargetGroupAttributes", "no value", without("<Value>3</Value>"), fleet.GapAttributes, attributes, false},
		{"DescribeTags", "no tags", without("<Tags><member><Key>castoff:managed</Key><Value>yes</Value></member></Tags>"), fleet.GapTags, tagged, false},
		{"DescribeTags", "no group", without("<ResourceArn>" + groupARN("c00-s0000") + "</ResourceArn>"), fleet.GapTags, tagged, false},
		{"DescribeTags", "no key", without("<Key>castoff:managed</Key>"), fleet.GapTags, tagged, false},
		{"DescribeTargetHealth", "no list", func(reply string) string {
			return strings.NewReplacer("<TargetHealthDescriptions>", "<Other>", "</TargetHealthDescriptions>", "</Other>").Replace(reply)
		}, fleet.GapTargetHealth, rows, false},
		{"DescribeTargetHealth", "no id", without("<Id>10.0.0.1</Id>"), fleet.GapTargetHealth, rows, false},
		{"DescribeTargetHealth", "no target", without("<Target><Id>10.0.0.1</Id><Port>10080</Port><AvailabilityZone>eu-central-1a</AvailabilityZone></Target>"), fleet.GapTargetHealth, rows, false},
		{"DescribeTargetHealth", "no override of one", without("<AdministrativeOverride><State>no_override</State></AdministrativeOverride>"), fleet.GapTargetHealth, rows, false},
		{"DescribeTargetHealth", "no state of an override", without("<State>no_override</State>"), fleet.GapTargetHealth, rows, false},
	} {
		t.Run(in.operation+" "+in.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := func() (*altering, *Observer) {
					f := newFake(1, 1, 2)
					f.fault = func(c fakeCall) *fakeReply {
						if c.op == "DescribeTargetGroupAttributes" {
							return &fakeReply{status: 200, body: attributesReply}
						}
						return nil
					}
					a := &altering{fake: f, operation: in.operation}
					cfg := f.config()
					cfg.HTTPClient = a
					return a, observer(t, Options{Config: cfg, Budgets: unlimited})
				}
				lacks := func(s *fleet.Snapshot) bool {
					return slices.ContainsFunc(s.Gaps, func(g fleet.Gap) bool { return g.Kind == in.kind && g.Class == fleet.Invalid })
				}
				look := func(o *Observer, passes int) (s *fleet.Snapshot) {
					for range passes {
						time.Sleep(15 * time.Second)
						s = o.Observe(t.Context(), []fleet.ServiceID{{Cluster: "c00", Name: "s0000"}})
					}
					return s
				}
				if in.says != nil { // it is read again
					a, o := begin()
					s := look(o, 2)
					was := in.says(s)
					if len(s.Gaps) != 0 {
						t.Fatalf("whole: %v", s.Gaps)
					}
					a.edit = in.edit
					s = look(o, 8)
					if is := in.says(s); is != was || !lacks(s) {
						t.Errorf("was %s, is %s, gaps %v", was, is, s.Gaps)
					}
					a.edit = nil
					s = look(o, 8)
					if is := in.says(s); is != was || len(s.Gaps) != 0 {
						t.Errorf("whole again: was %s, is %s, gaps %v", was, is, s.Gaps)
					}
				}
				if in.later {
					return
				}
				a, o := begin()
				a.edit = in.edit
				if s := look(o, 2); !lacks(s) {
					t.Errorf("at first: gaps %v", s.Gaps)
				}
				a.edit = nil
				if s := look(o, 8); len(s.Gaps) != 0 {
					t.Errorf("whole at last: gaps %v", s.Gaps)
				}
			})
		})
	}
}

// LIVENESS: a definition is read once, since none changes. What was wrong with that
// reading, and shows in what its tasks say, is put right by another one.
func TestDefinitionThatNoTaskFits(t *testing.T) {
	for name, edit := range map[string]func(string) string{
		"no check":    without(`"healthCheck":{"command":["CMD","true"]},`),
		"other names": strings.NewReplacer(`"name":"`, `"name":"x`).Replace,
		"as it is":    func(reply string) string { return reply },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(1, 1, 2)
				a := &altering{fake: f, operation: "DescribeTaskDefinition", edit: edit}
				cfg := f.config()
				cfg.HTTPClient = a
				o := observer(t, Options{Config: cfg, Budgets: unlimited})
				reads := func(passes int) (n int, d *fleet.TaskDefinition) {
					f.taken()
					var s *fleet.Snapshot
					for range passes {
						s = pass(t, o, 15*time.Second)
					}
					for _, d = range s.Definitions {
					}
					return tally(f.taken())["DescribeTaskDefinition"], d
				}
				wrong := name != "as it is"
				if n, _ := reads(20); wrong && (n < 4 || n > 6) || !wrong && n != 1 {
					t.Errorf("%d reads in five minutes", n)
				}
				a.edit = nil
				reads(5)
				n, d := reads(20)
				if n != 0 || len(d.Containers) != 2 || d.Containers[0].Name != "nginx" || d.Containers[0].Check == nil {
					t.Errorf("%d reads, and in the end it is %+v", n, d)
				}
			})
		})
	}
}

// LIVENESS: attributes that came half filled are asked for as often as an inventory,
// also while nothing fails, and again at once when that was the first time.
func TestHalfFilledAttributesAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		a := &altering{fake: f, operation: "DescribeTargetGroupAttributes"}
		cfg := f.config()
		cfg.HTTPClient = a
		o := observer(t, Options{Config: cfg, Budgets: unlimited})
		pass(t, o, 0)
		a.edit = without("<Value>120</Value>")
		for range 61 { // the attributes are due
			pass(t, o, 15*time.Second)
		}
		a.edit = nil
		var s *fleet.Snapshot
		for range 4 {
			s = pass(t, o, 15*time.Second)
		}
		if n := tally(f.taken())["DescribeTargetGroupAttributes"]; n != 4 || len(s.Gaps) != 0 {
			t.Errorf("%d reads, gaps %v", n, s.Gaps)
		}
	})
}

// LIVENESS: one reply names a cluster that nobody can describe. castoff forgets it once
// the lists do not have it.
func TestClusterThatOneListNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(1, 1, 1)
		f.clusters = append(f.clusters, &fakeCluster{name: "odd"})
		a := &altering{fake: f, operation: "DescribeClusters", edit: func(reply string) string {
			return strings.NewReplacer(ecsARN("cluster/odd"), ecsARN("cluster/other")).Replace(reply)
		}}
		cfg := f.config()
		cfg.HTTPClient = a
		o := observer(t, Options{Config: cfg, Budgets: unlimited})
		if s := passes(t, o, 5); len(s.Gaps) == 0 {
			t.Fatal("no gap")
		}
		f.clusters = f.clusters[:1]
		for range 4 {
			pass(t, o, time.Minute)
		}
		if s := pass(t, o, 0); len(s.Gaps) != 0 || len(s.Clusters) != 1 {
			t.Errorf("%d clusters, gaps %v", len(s.Clusters), s.Gaps)
		}
	})
}
