package status

import (
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/castoff-ecs/castoff/controller/fleet"
)

// gapsInText bounds how many gaps /readyz names: it is read by load balancers,
// and people have the page.
const gapsInText = 20

func (s *server) healthz(w http.ResponseWriter, r *http.Request) {
	write(w, r, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
}

// readyz says in its first line whether castoff is ready, and why not; the gaps
// follow, a line each.
func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	v := s.view()
	var b strings.Builder
	code := http.StatusOK
	if ok, why := v.ready(time.Now()); ok {
		b.WriteString("ready\n")
	} else {
		code = http.StatusServiceUnavailable
		b.WriteString("not ready: " + why + "\n")
	}
	gaps := v.gaps()
	for i, g := range gaps {
		if i == gapsInText {
			fmt.Fprintf(&b, "and %d more\n", len(gaps)-i)
			break
		}
		b.WriteString(oneLine(fmt.Sprintf("%s %s: %s: %s", g.Kind, g.Ref, g.Class, g.Detail)) + "\n")
	}
	write(w, r, code, "text/plain; charset=utf-8", []byte(b.String()))
}

// ready reports whether a full pass has succeeded lately, and if not, why.
func (v *View) ready(now time.Time) (ok bool, why string) {
	gaps := ""
	if n := len(v.gaps()); n > 0 {
		gaps = ", " + count(n, "gap", "gaps")
	}
	if v.LastFull.IsZero() {
		return false, "no full pass yet" + gaps
	}
	if age := now.Sub(v.LastFull); age > v.ReadyWithin {
		return false, fmt.Sprintf("last full pass %s ago, limit %s%s", span(age), span(v.ReadyWithin), gaps)
	}
	return true, ""
}

func (v *View) gaps() []fleet.Gap {
	if v.Snapshot == nil {
		return nil
	}
	return v.Snapshot.Gaps
}

// oneLine keeps what AWS says from writing lines, or a terminal's colours, of
// its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
