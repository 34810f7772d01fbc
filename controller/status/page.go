package status

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"
)

//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "page/*.html"))

// pageRoute is an address that answers a page. A page is made anew once a second,
// for the times in it run on.
func pageRoute(path string, takes []string, name string, page func(*View, request) (any, error)) *route {
	return &route{
		path: path, takes: takes, contentType: pageType, lasts: time.Second, validator: noValidator,
		answer: func(v *View, r request) ([]byte, error) {
			p, err := page(v, r)
			if err != nil {
				return nil, err
			}
			return mustRender(name, p), nil
		},
	}
}

// site is all that people read.
var site = []*route{
	pageRoute("/{$}", nil, "home", func(v *View, r request) (any, error) { return newHomePage(v, r.now), nil }),
	pageRoute("/timelines", timelineFilters, "timelines", timelines),
	pageRoute("/timelines/{id}", nil, "timeline", func(v *View, r request) (any, error) {
		t, err := v.find(r.id)
		if err != nil {
			return nil, err
		}
		return newTimelinePage(t, v, r.now), nil
	}),
	{path: "/timelines/{id}/text", contentType: textType, lasts: time.Second, validator: byContent, answer: text},
	pageRoute("/services", []string{"cluster", "service", "page"}, "services", services),
	pageRoute("/castoff", nil, "daemon", func(v *View, r request) (any, error) { return newDaemonPage(v, r.now), nil }),
}

// asset serves an embedded file.
func asset(files embed.FS, name, contentType, cache string) http.HandlerFunc {
	body, err := files.ReadFile(name)
	if err != nil {
		panic(err) // embedded: a bug of ours, seen by every test
	}
	tag := contentTag(body)
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := parseValues(r.URL.RawQuery, nil); err != nil {
			refuse(w, r, err)
			return
		}
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", cache)
		if matches(r, tag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
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

func mustRender(name string, page any) []byte {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, page); err != nil {
		panic(fmt.Errorf("render the %s page: %w", name, err)) // a bug of ours, as in encode
	}
	return []byte(directions.Replace(body.String()))
}

// directions are the characters that open or close a direction of writing. An
// isolate that a name opens and never closes swallows the end of the element
// that it is in, bdi too, and what castoff says after it reads backwards: dloh.
// So they are shown by their numbers. See https://www.unicode.org/reports/tr9/.
var directions = strings.NewReplacer(
	"\u202a", "[U+202A]", "\u202b", "[U+202B]", "\u202c", "[U+202C]", "\u202d", "[U+202D]", "\u202e", "[U+202E]",
	"\u2066", "[U+2066]", "\u2067", "[U+2067]", "\u2068", "[U+2068]", "\u2069", "[U+2069]",
)
