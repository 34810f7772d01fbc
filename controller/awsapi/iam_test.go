package awsapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const policies = "../../deploy/iam"

// iamPrefix is what IAM calls an SDK package; empty for one whose right is no
// part of the policies.
var iamPrefix = map[string]string{
	"ecs":                    "ecs",
	"elasticloadbalancingv2": "elasticloadbalancing",
	"sts":                    "", // AssumeRole, before anything else: see deploy/iam/README.md
}

// resourceOf are the actions that can be narrowed to a resource, and to which.
//
// Sources: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
// and https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
var resourceOf = map[string]string{
	"ecs:DescribeClusters":                   "arn:aws:ecs:*:*:cluster/*",
	"ecs:DescribeServices":                   "arn:aws:ecs:*:*:service/*",
	"ecs:DescribeServiceRevisions":           "arn:aws:ecs:*:*:service-revision/*",
	"ecs:DescribeTasks":                      "arn:aws:ecs:*:*:task/*",
	"ecs:DescribeContainerInstances":         "arn:aws:ecs:*:*:container-instance/*",
	"elasticloadbalancing:RegisterTargets":   "arn:aws:elasticloadbalancing:*:*:targetgroup/*/*",
	"elasticloadbalancing:DeregisterTargets": "arn:aws:elasticloadbalancing:*:*:targetgroup/*/*",
}

// statement is as much of IAM's language as the policies may use. What is not
// here, NotAction above all, is a mistake.
type statement struct {
	Sid       string
	Effect    string
	Action    oneOrMore
	Resource  oneOrMore
	Condition map[string]map[string]string
}

type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(o))
}

func policy(t *testing.T, name string) []statement {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(policies, name))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Version   string
		Statement []statement
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if p.Version != "2012-10-17" || len(p.Statement) == 0 {
		t.Fatalf("%s: version %q, %d statements", name, p.Version, len(p.Statement))
	}
	return p.Statement
}

func actions(statements []statement) []string {
	var all []string
	for _, s := range statements {
		all = append(all, s.Action...)
	}
	slices.Sort(all)
	return all
}

// The policies allow what castoff calls, and nothing else.
func TestPoliciesAreWhatIsCalled(t *testing.T) {
	called := callsBelow(t, ".")
	if len(called) < 10 {
		t.Fatalf("only %q found in the code: no test", called)
	}
	var reads, writes []string
	for _, action := range called {
		_, operation, _ := strings.Cut(action, ":")
		if strings.HasPrefix(operation, "Describe") || strings.HasPrefix(operation, "List") {
			reads = append(reads, action)
		} else {
			writes = append(writes, action)
		}
	}
	for file, want := range map[string][]string{"observe.json": reads, "detach.json": writes} {
		got := actions(policy(t, file))
		for _, action := range want {
			if !slices.Contains(got, action) {
				t.Errorf("the code calls %s, and %s does not allow it", action, file)
			}
		}
		for i, action := range got {
			if !slices.Contains(want, action) {
				t.Errorf("%s allows %s, which the code does not call, or not there", file, action)
			}
			if i > 0 && got[i-1] == action {
				t.Errorf("%s allows %s twice", file, action)
			}
		}
	}
}

// No statement allows more than it names: no wildcard in an action, a resource
// wherever IAM knows one, the tag on every write.
func TestPoliciesAreNarrow(t *testing.T) {
	action := regexp.MustCompile(`^(ecs|elasticloadbalancing):[A-Z][A-Za-z]+$`)
	sid := regexp.MustCompile(`^[A-Za-z0-9]+$`)
	tagged := map[string]map[string]string{"StringEquals": {"aws:ResourceTag/castoff:managed": "true"}}
	sids := map[string]bool{}
	for _, file := range []string{"observe.json", "detach.json"} {
		for _, s := range policy(t, file) {
			if !sid.MatchString(s.Sid) || sids[s.Sid] || s.Effect != "Allow" || len(s.Action) == 0 {
				t.Errorf("%s: statement %q, effect %q, actions %q", file, s.Sid, s.Effect, s.Action)
			}
			sids[s.Sid] = true
			for _, a := range s.Action {
				want, ok := resourceOf[a]
				if !ok {
					want = "*"
				}
				if !action.MatchString(a) || !slices.Equal(s.Resource, oneOrMore{want}) {
					t.Errorf("%s: %s allows %s on %q, want %q", file, s.Sid, a, s.Resource, want)
				}
			}
			if file == "detach.json" && fmt.Sprint(s.Condition) != fmt.Sprint(tagged) {
				t.Errorf("%s: %s allows writes under %v, want %v", file, s.Sid, s.Condition, tagged)
			}
		}
	}
}

// Every right is explained.
func TestPoliciesAreExplained(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(policies, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	all := append(actions(policy(t, "observe.json")), actions(policy(t, "detach.json"))...)
	for _, a := range all {
		if !strings.Contains(string(readme), "\n| `"+a+"` |") {
			t.Errorf("README.md does not say what %s is for", a)
		}
	}
	for _, row := range regexp.MustCompile("\n\\| `([a-z]+:[A-Za-z]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		if !slices.Contains(all, row[1]) {
			t.Errorf("README.md explains %s, which no policy has", row[1])
		}
	}
}

// callsBelow are the actions of the operations that the package's code uses: by
// the requests that it makes, and by the methods of the clients that it holds.
func callsBelow(t *testing.T, dir string) []string {
	t.Helper()
	const services = "github.com/aws/aws-sdk-go-v2/service/"
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string]string{} // prefix, by the name of a field or variable
	var parsed []*ast.File
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	found := map[string]bool{}
	for _, f := range parsed {
		local := map[string]string{} // prefix, by the package's name in this file
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			service, ok := strings.CutPrefix(path, services)
			if !ok || strings.Contains(service, "/") {
				continue
			}
			prefix, known := iamPrefix[service]
			if !known {
				t.Errorf("%s is a service whose rights are in no policy", path)
			}
			name := service
			if spec.Name != nil {
				name = spec.Name.Name
			}
			local[name] = prefix
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field: // ecs *ecs.Client
				if star, ok := n.Type.(*ast.StarExpr); ok {
					if of, ok := star.X.(*ast.SelectorExpr); ok && of.Sel.Name == "Client" {
						if pkg, ok := of.X.(*ast.Ident); ok && local[pkg.Name] != "" {
							for _, name := range n.Names {
								clients[name.Name] = local[pkg.Name]
							}
						}
					}
				}
			case *ast.SelectorExpr: // ecs.ListTasksInput, ecs.NewListTasksPaginator
				if pkg, ok := n.X.(*ast.Ident); ok && local[pkg.Name] != "" {
					if operation := operationOf(n.Sel.Name); operation != "" {
						found[local[pkg.Name]+":"+operation] = true
					}
				}
			}
			return true
		})
	}
	for _, f := range parsed {
		ast.Inspect(f, func(n ast.Node) bool { // o.ecs.ListTasks
			if method, ok := n.(*ast.SelectorExpr); ok && method.Sel.Name != "Options" {
				if client, ok := method.X.(*ast.SelectorExpr); ok && clients[client.Sel.Name] != "" {
					found[clients[client.Sel.Name]+":"+method.Sel.Name] = true
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// operationOf is the operation that a name of an SDK package stands for.
func operationOf(name string) string {
	if operation, ok := strings.CutSuffix(name, "Input"); ok {
		return operation
	}
	if operation, ok := strings.CutPrefix(name, "New"); ok {
		if operation, ok := strings.CutSuffix(operation, "Paginator"); ok {
			return operation
		}
	}
	return ""
}
