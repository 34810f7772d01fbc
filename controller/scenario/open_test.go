package scenario

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/castoff-ecs/castoff/controller/sim"
)

// unscripted are the open facts that no script moves, each with its reason.
var unscripted = map[string]string{
	"Traffic":              "castoff sees no flows; controller/sim's tests and castoff simulate move them",
	"IgnoreUnknownMembers": "castoff sends no member that AWS does not know: TestConformance holds its requests to AWS's models",
}

// A fact that nobody has shown goes both ways in scripts: what moves it is moved
// from its default by one at least, and has its default in all the others.
func TestOpenFactsAreScripted(t *testing.T) {
	doc, err := os.ReadFile("../sim/doc.go")
	must(t, err)
	rows := regexp.MustCompile(`(?m)^//\t.* open  +([A-Z].*)$`).FindAllStringSubmatch(string(doc), -1)
	if len(rows) < 14 {
		t.Fatalf("%d rows of controller/sim's table are open and have what moves them: has its form changed?", len(rows))
	}
	moved := movedParams(t)
	for _, row := range rows {
		for name := range strings.SplitSeq(row[1], ", ") {
			if reason := unscripted[name]; reason != "" {
				continue
			}
			if _, ok := reflect.TypeFor[sim.Params]().FieldByName(name); !ok {
				t.Errorf("%s moves what is open, and no script can: it is no field of sim.Params", name)
			} else if !slices.Contains(moved, name) {
				t.Errorf("%s moves what is open, and no script does", name)
			}
		}
	}
}

// movedParams are the fields of sim.Params to which a script gives another value
// than the default.
func movedParams(t *testing.T) (names []string) {
	files, err := filepath.Glob("testdata/*.txt")
	must(t, err)
	defaults := reflect.ValueOf(sim.DefaultParams())
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "region ") {
				continue
			}
			for i := range defaults.NumField() {
				name := defaults.Type().Field(i).Name
				given := regexp.MustCompile(` ` + dashed(name) + `=(\([^)]*\)|\S+)`).FindStringSubmatch(line)
				if given == nil {
					continue
				}
				params := sim.DefaultParams()
				field := reflect.ValueOf(&params).Elem().Field(i)
				must(t, setParam(field, strings.Trim(given[1], "()")))
				if !reflect.DeepEqual(field.Interface(), defaults.Field(i).Interface()) {
					names = append(names, name)
				}
			}
		}
	}
	return names
}
