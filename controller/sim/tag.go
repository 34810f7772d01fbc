package sim

import (
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// Tag sets a tag of a service or, when id has no name, of a cluster; an empty
// value takes it away.
func (r *Region) Tag(id fleet.ServiceID, key, value string) error {
	return r.change(func() error {
		c := r.clusterNames[id.Cluster]
		if c == nil {
			return fmt.Errorf("tag %s: no such cluster", id)
		}
		arn := string(c.arn)
		if id.Name != "" {
			s := c.serviceNames[id.Name]
			if s == nil {
				return fmt.Errorf("tag %s: no such service", id)
			}
			arn = string(s.arn)
		}
		r.tagsAt(arn).set(func(tags map[string]string) {
			tags[key] = value
			if value == "" {
				delete(tags, key)
			}
		})
		return nil
	})
}

// tagging is where the tags of something are.
type tagging struct {
	tags  *map[string]string
	after func() // they have changed
}

// set changes a copy of the tags: specs are the caller's.
func (g *tagging) set(change func(tags map[string]string)) {
	next := map[string]string{}
	maps.Copy(next, *g.tags)
	change(next)
	*g.tags = next
	g.after()
}

// tagsAt finds the tags of what ECS or ELBv2 has an ARN for; nil: there is no such thing.
func (r *Region) tagsAt(arn string) *tagging {
	quiet := func() {}
	for _, c := range r.clusters {
		if arn == string(c.arn) {
			return &tagging{&c.tags, quiet}
		}
		if s := c.serviceNamed(arn); s != nil && arn == string(s.arn) {
			return &tagging{&s.spec.Tags, func() {
				s.given.Tags = s.spec.Tags // the next revision keeps it
				s.touch()
			}}
		}
		if t := c.taskNamed(arn); t != nil && arn == string(t.arn) {
			return &tagging{&t.tags, t.touch}
		}
		for _, h := range c.instances {
			if arn == string(h.arn) {
				return &tagging{&h.tags, quiet}
			}
		}
	}
	for _, d := range r.definitions {
		if arn == string(d.arn()) {
			return &tagging{&d.tags, quiet}
		}
	}
	if g := r.groupARNs[fleet.TargetGroupARN(arn)]; g != nil {
		return &tagging{&g.tags, quiet}
	}
	for _, b := range r.balancers {
		if arn == b.arn {
			return &tagging{&b.tags, quiet}
		}
		for _, l := range b.listeners {
			if arn == l.arn {
				return &tagging{&l.tags, quiet}
			}
		}
	}
	return nil
}

// tagsOf reads the tags that a request has.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html
func tagsOf(list []tagJSON) (map[string]string, *apiError) {
	tags := map[string]string{}
	for _, t := range list {
		n := utf8.RuneCountInString(t.Key)
		switch {
		case n < 1 || n > 128 || utf8.RuneCountInString(t.Value) > 256:
			return nil, invalid("InvalidParameterException", "A tag key must have 1 to 128 characters, a tag value at most 256.")
		case strings.HasPrefix(strings.ToLower(t.Key), "aws:"):
			return nil, invalid("InvalidParameterException", "Tag keys cannot begin with aws:.")
		}
		tags[t.Key] = t.Value
	}
	return tags, nil
}

// maxTags is how many tags something has at most.
const maxTags = 50

// room reports that so many more tags may be.
func (g *tagging) room(tags map[string]string) bool {
	all := maps.Clone(tags)
	maps.Copy(all, *g.tags)
	return len(all) <= maxTags
}

func (g *tagging) add(tags map[string]string) {
	g.set(func(old map[string]string) { maps.Copy(old, tags) })
}

func (g *tagging) remove(keys []string) {
	g.set(func(old map[string]string) {
		for _, key := range keys {
			delete(old, key)
		}
	})
}

// ecsTags are the tags of a resource of ECS's.
func (r *Region) ecsTags(q *ecsRequest) (*tagging, *apiError) {
	if strings.HasPrefix(q.ResourceARN, ecsARN("")) {
		if g := r.tagsAt(q.ResourceARN); g != nil {
			return g, nil
		}
	}
	return nil, invalid("InvalidParameterException", "The specified resource could not be found.")
}

func (r *Region) listTagsForResource(q *ecsRequest) (any, *apiError) {
	g, err := r.ecsTags(q)
	if err != nil {
		return nil, err
	}
	return struct {
		Tags []tagJSON `json:"tags"`
	}{tagsJSON(*g.tags)}, nil
}

func (r *Region) tagResource(q *ecsRequest) (any, *apiError) {
	g, err := r.ecsTags(q)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(q.Tags)
	if err != nil {
		return nil, err
	}
	if !g.room(tags) {
		return nil, invalid("InvalidParameterException", "A resource can have at most %d tags.", maxTags)
	}
	g.add(tags)
	return struct{}{}, nil
}

func (r *Region) untagResource(q *ecsRequest) (any, *apiError) {
	g, err := r.ecsTags(q)
	if err != nil {
		return nil, err
	}
	g.remove(q.TagKeys)
	return struct{}{}, nil
}
