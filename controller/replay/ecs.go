package replay

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ecsRequest has the members that matter, by their wire names.
type ecsRequest struct {
	Cluster               string   `json:"cluster"`
	Clusters              []string `json:"clusters"`
	ContainerInstance     string   `json:"containerInstance"`
	ContainerInstances    []string `json:"containerInstances"`
	DesiredStatus         string   `json:"desiredStatus"`
	Family                string   `json:"family"`
	Include               []string `json:"include"`
	LaunchType            string   `json:"launchType"`
	MaxResults            int      `json:"maxResults"`
	NextToken             string   `json:"nextToken"`
	Service               string   `json:"service"`
	ServiceDeploymentARNs []string `json:"serviceDeploymentArns"`
	ServiceName           string   `json:"serviceName"`
	ServiceRevisionARNs   []string `json:"serviceRevisionArns"`
	Services              []string `json:"services"`
	StartedBy             string   `json:"startedBy"`
	TaskDefinition        string   `json:"taskDefinition"`
	Tasks                 []string `json:"tasks"`
}

func ecsReply(status int, out any) reply {
	body, _ := json.Marshal(out) // it came from JSON
	return reply{status: status, header: map[string]string{"Content-Type": "application/x-amz-json-1.1"}, body: body}
}

func ecsError(code, message string) reply {
	return ecsReply(http.StatusBadRequest, map[string]string{"__type": code, "message": message})
}

// ecs answers one request of ECS's JSON protocol.
//
// Source: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Operations.html
func (w *World) ecs(q *request) reply {
	in := &q.ecs
	if err := json.Unmarshal([]byte(q.text), in); err != nil {
		return ecsError("SerializationException", err.Error())
	}
	switch q.op {
	case "ListClusters":
		return in.page("clusterArns", arns(w.objects("clusters"), "clusterArn"))
	case "DescribeClusters":
		return in.described("clusters", in.Clusters, w.objects("clusters"), "clusterArn", "clusterName")
	case "DescribeTaskDefinition":
		return w.taskDefinition(in)
	case "DescribeServiceRevisions":
		return in.described("serviceRevisions", in.ServiceRevisionARNs, w.objects("serviceRevisions"), "serviceRevisionArn", "")
	case "ListGatewayRoutes":
		return ecsReply(http.StatusOK, map[string]any{"gatewayRoutes": append([]map[string]any{}, w.objects("gatewayRoutes")...)})
	case "DescribeServiceDeployments":
		return in.described("serviceDeployments", in.ServiceDeploymentARNs, w.objects("serviceDeployments"), "serviceDeploymentArn", "")
	}
	cluster, ok := w.cluster(in.Cluster)
	if !ok {
		return ecsError("ClusterNotFoundException", "Cluster not found.")
	}
	in.Cluster = cluster
	switch q.op {
	case "ListServices":
		return in.page("serviceArns", arns(slices.DeleteFunc(in.inCluster(w.objects("services")), func(s map[string]any) bool {
			return text(s, "status") == "INACTIVE" || in.LaunchType != "" && text(s, "launchType") != in.LaunchType
		}), "serviceArn"))
	case "DescribeServices":
		return in.described("services", in.Services, in.inCluster(w.objects("services")), "serviceArn", "serviceName")
	case "ListTasks":
		return in.page("taskArns", arns(slices.DeleteFunc(in.inCluster(w.objects("tasks")), in.skips), "taskArn"))
	case "DescribeTasks":
		return in.described("tasks", in.Tasks, in.inCluster(w.objects("tasks")), "taskArn", "")
	case "ListContainerInstances":
		return in.page("containerInstanceArns", arns(in.inCluster(w.objects("containerInstances")), "containerInstanceArn"))
	case "DescribeContainerInstances":
		return in.described("containerInstances", in.ContainerInstances, in.inCluster(w.objects("containerInstances")), "containerInstanceArn", "")
	case "ListServiceDeployments":
		return w.serviceDeployments(in)
	default:
		return ecsError("UnknownOperationException", "")
	}
}

// cluster is the ARN of a cluster that is given by name or ARN.
func (w *World) cluster(given string) (string, bool) {
	if given == "" {
		given = "default"
	}
	for _, c := range w.objects("clusters") {
		if arn := text(c, "clusterArn"); arn == given || text(c, "clusterName") == given || lastSegment(arn) == given {
			return arn, true
		}
	}
	return "", false
}

func (in *ecsRequest) inCluster(all []map[string]any) []map[string]any {
	return slices.DeleteFunc(all, func(o map[string]any) bool { return text(o, "clusterArn") != in.Cluster })
}

// skips reports that ListTasks leaves a task out. Without a desired status it lists
// those that are to run.
func (in *ecsRequest) skips(t map[string]any) bool {
	wanted := in.DesiredStatus
	if wanted == "" {
		wanted = "RUNNING"
	}
	_, family, _ := strings.Cut(text(t, "taskDefinitionArn"), "/")
	family, _, _ = strings.Cut(family, ":")
	return text(t, "desiredStatus") != wanted ||
		in.ServiceName != "" && text(t, "group") != "service:"+lastSegment(in.ServiceName) ||
		in.StartedBy != "" && text(t, "startedBy") != in.StartedBy ||
		in.Family != "" && family != in.Family ||
		in.LaunchType != "" && text(t, "launchType") != in.LaunchType ||
		in.ContainerInstance != "" && lastSegment(text(t, "containerInstanceArn")) != lastSegment(in.ContainerInstance)
}

func arns(all []map[string]any, member string) []string {
	found := []string{}
	for _, o := range all {
		found = append(found, text(o, member))
	}
	return found
}

// page is one page of a list.
func (in *ecsRequest) page(name string, all []string) reply {
	size := in.MaxResults
	if size <= 0 {
		size = 100
	}
	from, err := strconv.Atoi(in.NextToken)
	if in.NextToken != "" && (err != nil || from < 0) {
		return ecsError("InvalidParameterException", "Invalid token")
	}
	from = min(from, len(all))
	to := min(from+size, len(all))
	out := map[string]any{name: all[from:to]}
	if to < len(all) {
		out["nextToken"] = strconv.Itoa(to)
	}
	return ecsReply(http.StatusOK, out)
}

// described are those that were asked for by ARN, or by name where they have one, and
// as failures those that are not there. Tags are told to those who ask.
func (in *ecsRequest) described(name string, asked []string, all []map[string]any, arn, byName string) reply {
	found, failures := []any{}, []any{}
	if name == "clusters" && len(asked) == 0 {
		asked = []string{"default"}
	}
	for _, one := range asked {
		i := slices.IndexFunc(all, func(o map[string]any) bool {
			return text(o, arn) == one || lastSegment(text(o, arn)) == lastSegment(one) && !strings.HasPrefix(one, "arn:") ||
				byName != "" && text(o, byName) == one
		})
		if i < 0 {
			failures = append(failures, map[string]any{"arn": one, "reason": "MISSING"})
			continue
		}
		o := all[i]
		if !slices.Contains(in.Include, "TAGS") && o["tags"] != nil {
			o = maps.Clone(o)
			delete(o, "tags")
		}
		found = append(found, o)
	}
	return ecsReply(http.StatusOK, map[string]any{name: found, "failures": failures})
}

func (w *World) taskDefinition(in *ecsRequest) reply {
	for _, d := range w.objects("taskDefinitions") {
		name := fmt.Sprintf("%s:%v", text(d, "family"), d["revision"])
		if arn := text(d, "taskDefinitionArn"); in.TaskDefinition == arn || in.TaskDefinition == name {
			return ecsReply(http.StatusOK, map[string]any{"taskDefinition": d, "tags": []any{}})
		}
	}
	return ecsError("ClientException", "Unable to describe task definition.")
}

// serviceDeployments are those of a service in short form, newest first as they are
// in the document.
func (w *World) serviceDeployments(in *ecsRequest) reply {
	found := []any{}
	for _, d := range w.objects("serviceDeployments") {
		if arn := text(d, "serviceArn"); arn != in.Service && lastSegment(arn) != in.Service {
			continue
		}
		brief := map[string]any{}
		for _, member := range []string{
			"serviceDeploymentArn", "serviceArn", "clusterArn", "createdAt", "startedAt", "finishedAt", "status", "statusReason",
		} {
			if v, ok := d[member]; ok {
				brief[member] = v
			}
		}
		if target, ok := d["targetServiceRevision"].(map[string]any); ok {
			brief["targetServiceRevisionArn"] = target["arn"]
		}
		found = append(found, brief)
	}
	return ecsReply(http.StatusOK, map[string]any{"serviceDeployments": found})
}
