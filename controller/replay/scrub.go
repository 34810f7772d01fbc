package replay

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// scrubber replaces what says whose fleet it is: account ids, names, addresses and
// texts. The same comes out for the same, so that what belonged together still does;
// ARNs and ids keep their shape, and what AWS or castoff give a meaning stays. What
// it does not know it replaces. In everything it removes what may be secret.
type scrubber struct {
	key   []byte
	plain bool // only secrets are removed
	v4    map[netip.Addr]netip.Addr
	had   []netip.Addr // whose each address is, in the order in which they were given
	next  int          // of had, to be given
}

func newScrubber(plain bool) *scrubber {
	s := &scrubber{plain: plain, key: make([]byte, 32), v4: make(map[netip.Addr]netip.Addr)}
	_, _ = rand.Read(s.key) // it never fails
	return s
}

// secret are the members that may hold secrets or have nothing but texts in them that
// castoff has no use for.
var secret = words(`command dockerLabels dockerSecurityOptions entryPoint environment environmentFiles events extraHosts firelensConfiguration hookDetails
	logConfiguration overrides proxyConfiguration repositoryCredentials secretOptions secrets systemControls tokens volumes`)

// meaning are the members whose values are words of AWS's own.
var meaning = words(`__type Action AgentUpdateStatus agentUpdateStatus appProtocol AvailabilityZone availabilityZone availabilityZoneRebalancing
	bake Code condition connectivity controlPlane desiredStatus Error GrpcCode healthStatus HealthCheckPort HealthCheckProtocol HttpCode include
	IpAddressType kind lastStatus launchType lifecycleStage managedAgentName networkMode pidMode platformFamily propagateTags Protocol
	protocol ProtocolVersion reason Reason rolloutState Scheme schedulingStrategy scaleUnit stabilityStatus State status Status stopCode strategy
	TargetType type Type unit Version ZoneName`)

// named are the members whose values are names.
var named = words(`cluster clusterName containerName family LoadBalancerName name serviceName TargetGroupName Names taskDefinition
	clusters services service portName`)

// sentences are the members that AWS writes sentences in.
var sentences = words(`Description Message message Message reason rolloutStateReason statusReason stoppedReason`)

func words(s string) map[string]bool {
	m := make(map[string]bool)
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

var (
	plainWord  = regexp.MustCompile(`^[A-Za-z0-9_.+-]{1,64}$`)
	shortened  = regexp.MustCompile(`^(true|false|-?[0-9]{1,11}(\.[0-9]{1,9})?)$`)
	isTime     = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
	isUntil    = regexp.MustCompile(`^[0-9TZ:.+-]+$`)
	isZone     = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d+[a-z]?$`)
	isAccount  = regexp.MustCompile(`^[0-9]{12}$`)
	isOpaque   = regexp.MustCompile(`^([0-9a-f]{16,40}|[0-9]{1,11}|[0-9]{13,20}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
	isResource = regexp.MustCompile(`^(i|mi|eni|subnet|vpc|sg|eipalloc|eipassoc)-[0-9a-z]+$`)
	isMAC      = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)
	isMember   = regexp.MustCompile(`^[A-Za-z_]\w{0,63}$`)
	isOption   = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)+$`)
	failure    = regexp.MustCompile(`^[A-Z][A-Za-z]+(Error|Exception)\b`)
	denied     = regexp.MustCompile(`not authorized to perform: [a-z0-9-]+:[A-Za-z]+`)
)

// known are sentences that castoff goes by, and words that stand for something
// wherever they are.
var (
	known = []string{"Task failed container health checks", "Task failed ELB health checks", "Essential container in task exited", "Task failed to start",
		"Scaling activity initiated by", "Host EC2"}
	fixed = words(`CMD CMD-SHELL NONE use_load_balancer_configuration off on subnetId networkInterfaceId macAddress privateDnsName privateIPv4Address
		ElasticNetworkInterface ecs.availability-zone castoff:mode castoff:managed`)
	tagValue = words(`observe detach true false`)
)

// digest is a text that stands for another.
func (s *scrubber) digest(kind, value string) string {
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write([]byte(kind + "\x00" + value)) // a hash takes everything
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *scrubber) name(v string) string { return "name-" + s.digest("name", v)[:10] }
func (s *scrubber) text(v string) string { return "text-" + s.digest("text", v)[:10] }

func (s *scrubber) account(v string) string {
	if v == "aws" {
		return v // a resource of AWS's own
	}
	var n uint64
	_, _ = fmt.Sscanf(s.digest("account", v)[:15], "%x", &n) // it is hexadecimal
	return fmt.Sprintf("%012d", n%1e12)
}

// addresses are those in 198.18.0.0/15, but for the first.
const addresses = 1<<17 - 1

// address is in 198.18.0.0/15 or 2001:db8::/32, which nobody has. Those that mean no
// machine stay. Where all are given, the next gets that of whoever has had one for
// longest: of so many addresses ago the record has nothing any more.
func (s *scrubber) address(a netip.Addr) netip.Addr {
	switch {
	case a.IsUnspecified() || a.IsLoopback():
		return a
	case a.Is4():
		was, ok := s.v4[a]
		if !ok {
			if len(s.had) < addresses {
				s.had = append(s.had, a)
			} else {
				delete(s.v4, s.had[s.next])
				s.had[s.next] = a
			}
			s.next++
			was = netip.AddrFrom4([4]byte{198, byte(18 + s.next>>16), byte(s.next >> 8), byte(s.next)})
			s.v4[a] = was
			s.next %= addresses
		}
		return was
	default:
		b, _ := hex.DecodeString("20010db8" + s.digest("address", a.String())[:24]) // it is hexadecimal
		return netip.AddrFrom16([16]byte(b))
	}
}

// arn keeps what kind of thing it is of: arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID.
func (s *scrubber) arn(v string) string {
	parts := strings.SplitN(v, ":", 6)
	if len(parts) < 6 {
		return s.text(v)
	}
	if parts[4] != "" {
		parts[4] = s.account(parts[4])
	}
	resource, revision := parts[5], ""
	if i := strings.LastIndexByte(resource, ':'); i >= 0 && isOpaque.MatchString(resource[i+1:]) {
		resource, revision = resource[:i], resource[i:]
	}
	segments := strings.FieldsFunc(resource, func(r rune) bool { return r == '/' || r == ':' })
	for i, segment := range segments {
		typed := i == 0 && len(segments) > 1 && parts[4] != "" || i == 1 && slices.Contains([]string{"net", "app", "gwy"}, segment)
		if !typed && !isOpaque.MatchString(segment) {
			segments[i] = s.name(segment)
		}
	}
	parts[5] = strings.Join(segments, "/") + revision
	return strings.Join(parts, ":")
}

// sentence keeps what castoff goes by, and what AWS calls the failure.
func (s *scrubber) sentence(v string) string {
	kept := failure.FindString(v)
	for _, k := range known {
		if strings.HasPrefix(v, k) {
			kept = k
		}
	}
	if d := denied.FindString(v); d != "" {
		return s.text(v) + " is " + d
	}
	switch {
	case kept == v:
		return v
	case kept != "":
		return kept + " " + s.text(v[len(kept):])
	default:
		return s.text(v)
	}
}

// value replaces the value of a member, by what it looks like and by its name.
func (s *scrubber) value(member, v string) string {
	if s.plain {
		return v
	}
	switch addr, err := netip.ParseAddr(v); {
	case err == nil:
		return s.address(addr).String()
	case strings.HasPrefix(v, "arn:"):
		return s.arn(v)
	}
	prefix, rest, cut := strings.Cut(v, ":")
	switch {
	case v == "", fixed[v], shortened.MatchString(v), isTime.MatchString(v), isZone.MatchString(v):
		return v
	case isAccount.MatchString(v):
		return s.account(v)
	case isResource.MatchString(v):
		kind, id, _ := strings.Cut(v, "-")
		return kind + "-" + s.digest(kind, id)[:17]
	case isMAC.MatchString(v):
		return "02:00:" + strings.Join([]string{s.digest("mac", v)[:2], s.digest("mac", v)[2:4], s.digest("mac", v)[4:6], s.digest("mac", v)[6:8]}, ":")
	case strings.HasPrefix(v, "ecs-svc/") && isOpaque.MatchString(v[len("ecs-svc/"):]):
		return v
	case meaning[member] && plainWord.MatchString(v):
		return v
	case sentences[member]:
		return s.sentence(v)
	case member == "group" && cut && (prefix == "service" || prefix == "family"):
		return prefix + ":" + s.name(rest)
	case member == "tasks" && isOpaque.MatchString(v):
		return v
	case named[member] && cut && isOpaque.MatchString(rest): // FAMILY:REVISION
		return s.name(prefix) + ":" + rest
	case named[member]:
		return s.name(v)
	default:
		return s.text(v)
	}
}

// tag replaces the key and value of a tag. Those that castoff goes by stay.
func (s *scrubber) tag(key, value string) (k, v string) {
	switch {
	case s.plain:
		return key, value
	case key == "castoff:pause":
		return key, s.pause(value)
	case fixed[key] && tagValue[value]:
		return key, value
	case fixed[key]:
		return key, s.text(value)
	default:
		return s.text(key), s.text(value)
	}
}

// option replaces the value of an attribute of a target group or load balancer, whose
// key is AWS's. Numbers and switches stay: the rest may be a bucket, a header or a cookie.
func (s *scrubber) option(key, value string) (k, v string) {
	if s.plain {
		return key, value
	}
	if !isOption.MatchString(key) {
		key = s.text(key)
	}
	return key, s.value("", value)
}

// pause keeps the keys of a pause, and replaces who asks for it and why.
func (s *scrubber) pause(v string) string {
	var out []string
	free := false
	for _, word := range strings.Fields(v) {
		key, rest, ok := strings.Cut(word, "=")
		switch {
		case !ok && free:
			continue // more of the same text
		case ok && (key == "until" && isUntil.MatchString(rest) || key == "reattach" && (rest == "yes" || rest == "no")):
			free = false
		case ok && (key == "owner" || key == "reason"):
			free = true
			word = key + "=" + s.text(rest)
		default:
			free = false
			word = s.text(word)
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// json replaces in a JSON value what is to be replaced.
func (s *scrubber) json(member string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		key, keyed := v["key"].(string)
		val, valued := v["value"].(string)
		if keyed && valued && len(v) == 2 {
			k, w := s.tag(key, val)
			return map[string]any{"key": k, "value": w}
		}
		for name, below := range v {
			if secret[name] {
				if member == "healthCheck" && name == "command" {
					out[name] = s.command(below)
				}
				continue
			}
			if !isMember.MatchString(name) { // a key that somebody chose
				name = s.text(name)
			}
			b := s.json(name, below)
			out[name] = b
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			b := s.json(member, v[i])
			out[i] = b
		}
		return out
	case string:
		return s.value(member, v)
	default:
		return value
	}
}

// command keeps whether there is a health check and how it is run: a command line may
// have a password in it, even where names stay.
func (s *scrubber) command(value any) any {
	args, _ := value.([]any)
	out := make([]any, len(args))
	for i, arg := range args {
		out[i] = arg
		if text, ok := arg.(string); ok && !fixed[text] {
			out[i] = s.text(text)
		}
	}
	return out
}

// form replaces in a query.
func (s *scrubber) form(form url.Values) url.Values {
	out := make(url.Values, len(form))
	for name, all := range form {
		parts := strings.Split(name, ".")
		member := parts[len(parts)-1]
		if len(parts) > 2 && parts[len(parts)-2] == "member" { // a list of texts: NAME.member.1
			member = parts[len(parts)-3]
		}
		for _, v := range all {
			out.Add(name, s.value(member, v))
		}
	}
	return out
}

// body replaces in a reply of either protocol. One that is of neither is a text.
func (s *scrubber) body(query bool, body []byte) (string, error) {
	if len(body) == 0 {
		return "", nil
	}
	if query {
		root, err := parseXML(body)
		if err != nil {
			return s.text(string(body)), nil //nolint:nilerr // it is no XML: that is its whole meaning
		}
		root.scrub(s, "")
		return root.String(), nil
	}
	var value any
	if err := decode(body, &value); err != nil {
		return s.text(string(body)), nil //nolint:nilerr // it is no JSON: that is its whole meaning
	}
	text, err := json.Marshal(s.json("", value))
	return string(text), err
}

// node is an element of XML: AWS gives no attributes but the namespace.
type node struct {
	name, namespace string
	text            string
	below           []*node
}

func parseXML(body []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	top := &node{}
	open := []*node{top}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		at := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			n := &node{name: t.Name.Local}
			if len(open) == 1 {
				n.namespace = t.Name.Space
			}
			at.below, open = append(at.below, n), append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			at.text += string(t)
		}
	}
	if len(top.below) != 1 || len(top.below[0].below) == 0 {
		return nil, errors.New("it is no reply of a query protocol")
	}
	return top.below[0], nil
}

// child is the first element below of a name; nil when there is none.
func (n *node) child(name string) *node {
	if i := slices.IndexFunc(n.below, func(b *node) bool { return b.name == name }); i >= 0 {
		return n.below[i]
	}
	return nil
}

// scrub replaces in an element of a list of that name.
func (n *node) scrub(s *scrubber, in string) {
	if k, v := n.child("Key"), n.child("Value"); k != nil && v != nil && len(n.below) == 2 {
		if in == "Attributes" {
			k.text, v.text = s.option(k.text, v.text)
		} else {
			k.text, v.text = s.tag(k.text, v.text)
		}
		return
	}
	if len(n.below) == 0 {
		if n.name == "RequestId" {
			n.text = ""
		}
		n.text = s.value(n.name, n.text)
		return
	}
	n.text = ""
	for _, b := range n.below {
		if b.name == "member" && len(b.below) == 0 { // a list of texts
			b.text = s.value(n.name, b.text)
			continue
		}
		b.scrub(s, n.name)
	}
}

func (n *node) String() string {
	var b bytes.Buffer
	n.write(&b)
	return b.String()
}

func (n *node) write(b *bytes.Buffer) {
	fmt.Fprintf(b, "<%s", n.name)
	if n.namespace != "" {
		fmt.Fprintf(b, " xmlns=%q", n.namespace)
	}
	b.WriteByte('>')
	if len(n.below) == 0 {
		_ = xml.EscapeText(b, []byte(n.text)) // a Buffer takes everything
	}
	for _, below := range n.below {
		below.write(b)
	}
	fmt.Fprintf(b, "</%s>", n.name)
}
