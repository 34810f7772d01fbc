package status

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/castoff-ecs/castoff/controller/timeline"
)

//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "page/*.html"))

func (s *server) home(w http.ResponseWriter, r *http.Request) {
	render(w, r, http.StatusOK, "home", newHomePage(s.view(), time.Now()))
}

func (s *server) timeline(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	t := v.find(timeline.ID(r.PathValue("id")))
	if t == nil {
		refuse(w, r, http.StatusNotFound, "not_found", noSuchTimeline(r.PathValue("id")))
		return
	}
	render(w, r, http.StatusOK, "timeline", newTimelinePage(t, v, time.Now()))
}

func (s *server) asset(name, contentType string) http.HandlerFunc {
	body, err := pageFiles.ReadFile(name)
	if err != nil {
		panic(err) // embedded: a bug of ours, seen by every test
	}
	return func(w http.ResponseWriter, r *http.Request) {
		// Long enough to spare a request a page, short enough that nobody sees
		// an old look after an upgrade for long.
		w.Header().Set("Cache-Control", "max-age=300")
		write(w, r, http.StatusOK, contentType, body)
	}
}

// head is what every page begins and ends with.
type head struct {
	Title string
	// Live keeps the page up to date: one that was left open must not go on
	// saying that all is calm.
	Live   bool
	Notice string // see View
	// Here is the address of the part of the site that the page belongs to.
	Here    string
	Version string
	Now     stamp
}

func newHead(v *View, title, here string, now time.Time) head {
	return head{
		Title: title, Live: true, Notice: oneLine(v.Notice), Here: here,
		Version: v.Version, Now: stampOf(now, now),
	}
}

// Parts are the parts of the site.
func (head) Parts() []sitePart {
	return []sitePart{{"/", "Now"}, {"/timelines", "Timelines"}, {"/services", "Services"}, {"/castoff", "castoff"}}
}

type sitePart struct{ Link, Name string }

// Head is the same for a problem, which does not change.
func (p problemPage) Head() head { return head{Title: p.Title} }

// problemPage says what went wrong with a request.
type problemPage struct {
	Title   string
	Message string
}

func render(w http.ResponseWriter, r *http.Request, code int, name string, page any) {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, page); err != nil {
		panic(fmt.Errorf("render the %s page: %w", name, err)) // a bug of ours, as in writeJSON
	}
	write(w, r, code, "text/html; charset=utf-8", []byte(directions.Replace(body.String())))
}

// directions are the characters that open or close a direction of writing. An
// isolate that a name opens and never closes swallows the end of the element
// that it is in, bdi too, and what castoff says after it reads backwards: dloh.
// So they are shown by their numbers. See https://www.unicode.org/reports/tr9/.
var directions = strings.NewReplacer(
	"\u202a", "[U+202A]", "\u202b", "[U+202B]", "\u202c", "[U+202C]", "\u202d", "[U+202D]", "\u202e", "[U+202E]",
	"\u2066", "[U+2066]", "\u2067", "[U+2067]", "\u2068", "[U+2068]", "\u2069", "[U+2069]",
)
