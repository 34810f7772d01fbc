package sim

import (
	"net/url"
	"strings"
)

type tagsXML struct {
	ARN  string                   `xml:"ResourceArn"`
	Tags membersXML[attributeXML] `xml:"Tags"`
}

// elbTagged finds the tags of the resources that a request names.
func (r *Region) elbTagged(form url.Values) (arns []string, found []*tagging, err *apiError) {
	arns = members(form, "ResourceArns")
	if len(arns) == 0 || len(arns) > 20 {
		return nil, nil, invalid("ValidationError", "1 to 20 resource ARNs can be given at a time")
	}
	for _, arn := range arns {
		g := r.tagsAt(arn)
		if g == nil || !strings.HasPrefix(arn, elbARN("")) {
			switch {
			case strings.HasPrefix(arn, elbARN("loadbalancer/")):
				return nil, nil, invalid("LoadBalancerNotFound", "One or more load balancers not found")
			case strings.HasPrefix(arn, elbARN("listener/")):
				return nil, nil, invalid("ListenerNotFound", "One or more listeners not found")
			}
			return nil, nil, invalid("TargetGroupNotFound", "One or more target groups not found")
		}
		found = append(found, g)
	}
	return arns, found, nil
}

func (r *Region) describeTags(form url.Values) (any, *apiError) {
	arns, found, err := r.elbTagged(form)
	if err != nil {
		return nil, err
	}
	out := struct {
		Descriptions []tagsXML `xml:"TagDescriptions>member"`
	}{}
	for i, g := range found {
		x := tagsXML{ARN: arns[i]}
		for _, t := range tagsJSON(*g.tags) {
			x.Tags.Members = append(x.Tags.Members, attributeXML(t))
		}
		out.Descriptions = append(out.Descriptions, x)
	}
	return out, nil
}

func (r *Region) addTags(form url.Values) (any, *apiError) {
	_, found, err := r.elbTagged(form)
	if err != nil {
		return nil, err
	}
	var list []tagJSON
	for _, p := range pairs(form, "Tags") {
		list = append(list, tagJSON(p))
	}
	tags, err := tagsOf(list)
	switch {
	case err != nil:
		return nil, invalid("ValidationError", "%s", err.message)
	case len(tags) == 0:
		return nil, invalid("ValidationError", "At least one tag must be given")
	}
	for _, g := range found {
		if !g.room(tags) {
			return nil, invalid("TooManyTags", "The maximum number of tags has been reached")
		}
	}
	for _, g := range found {
		g.add(tags)
	}
	return struct{}{}, nil
}

func (r *Region) removeTags(form url.Values) (any, *apiError) {
	_, found, err := r.elbTagged(form)
	if err != nil {
		return nil, err
	}
	for _, g := range found {
		g.remove(members(form, "TagKeys"))
	}
	return struct{}{}, nil
}
