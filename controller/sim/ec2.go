package sim

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

const ec2Namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// ec2Operation is one that the region answers: those by which others find the
// addresses of tasks and of their hosts.
type ec2Operation struct {
	ids, missing string // the list of its request, and the error for one that is not there
	set          string // the list of its reply
	answer       func(*Region, *ec2Request) any
}

// Source: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Operations.html
var ec2Operations = map[string]ec2Operation{
	"DescribeInstances":         {"InstanceId", "InvalidInstanceID.NotFound", "reservationSet", (*Region).describeInstances},
	"DescribeNetworkInterfaces": {"NetworkInterfaceId", "InvalidNetworkInterfaceID.NotFound", "networkInterfaceSet", (*Region).describeInterfaces},
}

// ec2Request is a request by its ids and filters, and what of the list to give.
type ec2Request struct {
	ids     []string
	filters map[string][]string
	found   int // of the ids
	from    int
	size    int
	next    string
	unknown string // a filter that the region does not have
}

// ec2 answers one request of EC2's query protocol.
func (r *Region) ec2(c *call) reply {
	op, known := ec2Operations[c.operation]
	if !known {
		return ec2Error(c, invalid("InvalidAction", "The action %s is not valid for this web service.", c.operation))
	}
	q, err := readEC2(op, c.form, !r.params.IgnoreUnknownMembers)
	if err != nil {
		return ec2Error(c, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.advance()
	out := op.answer(r, q)
	switch {
	case q.unknown != "":
		return ec2Error(c, invalid("InvalidParameterValue", "The filter '%s' is invalid", q.unknown))
	case q.found < len(q.ids):
		return ec2Error(c, invalid(op.missing, "The ID '%s' does not exist", strings.Join(q.ids, ", ")))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<%sResponse xmlns="%s"><requestId>%s</requestId>`, c.operation, ec2Namespace, c.id)
	if err := xml.NewEncoder(&b).EncodeElement(out, xml.StartElement{Name: xml.Name{Local: op.set}}); err != nil {
		return ec2Error(c, &apiError{http.StatusInternalServerError, "InternalError", err.Error()})
	}
	if q.next != "" {
		fmt.Fprintf(&b, `<nextToken>%s</nextToken>`, q.next)
	}
	fmt.Fprintf(&b, `</%sResponse>`, c.operation)
	return reply{http.StatusOK, "text/xml;charset=UTF-8", b.Bytes()}
}

func ec2Error(c *call, e *apiError) reply {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<Response><Errors><Error><Code>%s</Code><Message>`, e.code)
	_ = xml.EscapeText(&b, []byte(e.message)) // a Buffer takes everything
	fmt.Fprintf(&b, `</Message></Error></Errors><RequestID>%s</RequestID></Response>`, c.id)
	return reply{e.status, "text/xml;charset=UTF-8", b.Bytes()}
}

// readEC2 reads a request: NAME.1, Filter.1.Name, Filter.1.Value.1, MaxResults, NextToken.
func readEC2(op ec2Operation, form url.Values, strict bool) (*ec2Request, *apiError) {
	q := &ec2Request{filters: map[string][]string{}, size: 1000}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		parts, value := strings.Split(name, "."), form.Get(name)
		switch {
		case name == "Action", name == "Version", name == "DryRun" && value != "true":
		case parts[0] == op.ids && len(parts) == 2:
			if !slices.Contains(q.ids, value) {
				q.ids = append(q.ids, value)
			}
		case parts[0] == "Filter" && len(parts) == 3 && parts[2] == "Name":
			q.filters[value] = append(q.filters[value], numbered(form, "Filter."+parts[1]+".Value")...)
		case parts[0] == "Filter" && len(parts) == 4 && parts[2] == "Value":
		case name == "MaxResults":
			n, err := strconv.Atoi(value)
			if err != nil || n < 5 || n > 1000 {
				return nil, invalid("InvalidParameterValue", "Value ( %s ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", value)
			}
			q.size = n
		case name == "NextToken":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 {
				return nil, invalid("InvalidParameterValue", "Unable to parse pagination token")
			}
			q.from = n
		case strict:
			return nil, invalid("UnknownParameter", "unknown member %q", name)
		}
	}
	if form.Get("MaxResults") != "" && len(q.ids) > 0 {
		return nil, invalid("InvalidParameterCombination", "The parameter maxResults cannot be used with the parameter %s", op.ids)
	}
	return q, nil
}

// numbered reads a list argument: NAME.1, NAME.2, …
func numbered(form url.Values, name string) []string {
	var list []string
	for i := 1; ; i++ {
		v, ok := form[name+"."+strconv.Itoa(i)]
		if !ok {
			return list
		}
		list = append(list, v[0])
	}
}

// wants reports that the request asks for something with this id and these values
// for filters.
func (q *ec2Request) wants(id string, tags map[string]string, values map[string]string) bool {
	if slices.Contains(q.ids, id) {
		q.found++
	} else if len(q.ids) > 0 {
		return false
	}
	for filter, wanted := range q.filters {
		value, known := values[filter]
		if key, isTag := strings.CutPrefix(filter, "tag:"); isTag {
			value, known = tags[key], true
		}
		if !known {
			q.unknown = filter
		}
		if !slices.Contains(wanted, value) {
			return false
		}
	}
	return true
}

// page cuts a list to what the request asks for.
func page[T any](q *ec2Request, list []T) []T {
	from := min(q.from, len(list))
	to := min(from+q.size, len(list))
	if to < len(list) {
		q.next = strconv.Itoa(to)
	}
	return list[from:to]
}

type itemsXML[T any] struct {
	Items []T `xml:"item"`
}

// The network that everything simulated is in.
const vpcID = "vpc-00000000000000000"

type interfaceXML struct {
	ID         string `xml:"networkInterfaceId"`
	Subnet     string `xml:"subnetId"`
	VPC        string `xml:"vpcId"`
	Zone       string `xml:"availabilityZone"`
	Said       string `xml:"description"`
	Owner      string `xml:"ownerId"`
	Requester  string `xml:"requesterId"`
	Managed    bool   `xml:"requesterManaged"`
	Status     string `xml:"status"`
	MAC        string `xml:"macAddress"`
	IP         string `xml:"privateIpAddress"`
	Kind       string `xml:"interfaceType"`
	Attachment struct {
		ID       string `xml:"attachmentId"`
		Instance string `xml:"instanceId,omitempty"`
		Owner    string `xml:"instanceOwnerId"`
		Device   int    `xml:"deviceIndex"`
		Status   string `xml:"status"`
	} `xml:"attachment"`
	Addresses itemsXML[addressXML]  `xml:"privateIpAddressesSet"`
	IPv6      itemsXML[ipv6XML]     `xml:"ipv6AddressesSet"`
	Groups    itemsXML[ec2GroupXML] `xml:"groupSet"`
	Tags      itemsXML[ec2TagXML]   `xml:"tagSet"`
}

type addressXML struct {
	IP      string `xml:"privateIpAddress"`
	Primary bool   `xml:"primary"`
}

type ipv6XML struct {
	IP string `xml:"ipv6Address"`
}

type ec2GroupXML struct {
	ID   string `xml:"groupId"`
	Name string `xml:"groupName"`
}

type ec2TagXML struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

var securityGroups = itemsXML[ec2GroupXML]{[]ec2GroupXML{{"sg-00000000000000000", "default"}}}

// describeInterfaces gives the network interfaces of tasks: none of them has a
// public address.
func (r *Region) describeInterfaces(q *ec2Request) any {
	var list []interfaceXML
	for _, c := range r.clusters {
		for _, t := range c.tasks {
			if t.eni == "" || t.status == fleet.Provisioning || t.status == fleet.Stopped {
				continue
			}
			x := t.interfaceXML()
			if q.wants(x.ID, nil, map[string]string{
				"network-interface-id": x.ID, "subnet-id": x.Subnet, "vpc-id": x.VPC, "availability-zone": x.Zone, "status": x.Status,
				"private-ip-address": x.IP, "addresses.private-ip-address": x.IP, "description": x.Said, "attachment.instance-id": x.Attachment.Instance,
			}) {
				list = append(list, x)
			}
		}
	}
	return itemsXML[interfaceXML]{page(q, list)}
}

func (t *task) interfaceXML() interfaceXML {
	x := interfaceXML{
		ID: t.interfaceID(), Subnet: subnet(t.zone), VPC: vpcID, Zone: t.zone, Said: ecsARN("attachment/" + t.eni), Owner: AccountID,
		Requester: "578734482556", Managed: t.instance == nil, Status: "in-use", MAC: t.mac(), IP: t.ipv4, Kind: "interface",
		Addresses: itemsXML[addressXML]{[]addressXML{{t.ipv4, true}}}, Groups: securityGroups,
	}
	x.Attachment.ID, x.Attachment.Owner, x.Attachment.Device, x.Attachment.Status = "eni-attach-"+t.id[:17], AccountID, 1, "attached"
	if t.instance != nil {
		x.Attachment.Instance = t.instance.id
	}
	if t.ipv6 != "" {
		x.IPv6.Items = []ipv6XML{{t.ipv6}}
	}
	return x
}

type hostXML struct {
	ID    string `xml:"instanceId"`
	Image string `xml:"imageId"`
	State struct {
		Code int    `xml:"code"`
		Name string `xml:"name"`
	} `xml:"instanceState"`
	DNS       string `xml:"privateDnsName"`
	Kind      string `xml:"instanceType"`
	Launched  string `xml:"launchTime"`
	Placement struct {
		Zone    string `xml:"availabilityZone"`
		Tenancy string `xml:"tenancy"`
	} `xml:"placement"`
	Subnet string                `xml:"subnetId"`
	VPC    string                `xml:"vpcId"`
	IP     string                `xml:"privateIpAddress"`
	Groups itemsXML[ec2GroupXML] `xml:"groupSet"`
	Tags   itemsXML[ec2TagXML]   `xml:"tagSet"`
}

type reservationXML struct {
	ID    string            `xml:"reservationId"`
	Owner string            `xml:"ownerId"`
	Hosts itemsXML[hostXML] `xml:"instancesSet"`
}

// describeInstances gives the container instances' hosts.
func (r *Region) describeInstances(q *ec2Request) any {
	var list []reservationXML
	for _, c := range r.clusters {
		for _, h := range c.instances {
			x := h.xml()
			if q.wants(h.id, h.tags, map[string]string{
				"instance-id": h.id, "private-ip-address": x.IP, "subnet-id": x.Subnet, "vpc-id": x.VPC, "availability-zone": h.zone,
				"instance-state-name": x.State.Name, "instance-type": x.Kind,
			}) {
				list = append(list, reservationXML{"r-" + h.id[2:], AccountID, itemsXML[hostXML]{[]hostXML{x}}})
			}
		}
	}
	return itemsXML[reservationXML]{page(q, list)}
}

func (h *instance) xml() hostXML {
	x := hostXML{
		ID: h.id, Image: "ami-00000000000000000", DNS: "ip-" + strings.ReplaceAll(h.address(), ".", "-") + "." + RegionName + ".compute.internal",
		Kind: "m7i.large", Launched: h.since.UTC().Format("2006-01-02T15:04:05.000Z"), Subnet: subnet(h.zone), VPC: vpcID, IP: h.address(),
		Groups: securityGroups,
	}
	x.State.Code, x.State.Name = 16, "running"
	x.Placement.Zone, x.Placement.Tenancy = h.zone, "default"
	for _, t := range tagsJSON(h.tags) {
		x.Tags.Items = append(x.Tags.Items, ec2TagXML(t))
	}
	return x
}

// address is the host's own: tasks have none that begins so. There are 254.
func (h *instance) address() string { return "10.0.0." + strconv.Itoa(1+h.place%254) }
