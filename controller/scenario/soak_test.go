package scenario

import (
	"crypto/rand"
	"encoding/binary"
	"flag"
	"fmt"
	"maps"
	randv2 "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/castoff-ecs/castoff/controller/sim"
)

var (
	soakTime     = flag.Duration("soak", 0, "for how long TestSafetySoak runs fresh worlds, after those that ever failed")
	soakWorlds   = flag.Int("soakworlds", -1, "how many fresh worlds it runs without -soak, after those that ever failed; negative: one of these, and no other")
	soakSeed     = flag.Uint64("soakseed", 0, "seed of its first fresh world, and none that ever failed; 0: a random one")
	speed        = flag.Bool("speed", false, "measure how fast the time passes in TestSpeed")
	soakPatience = flag.Duration("soakpatience", 2*time.Minute, "how much time making a script small may take")
	soakDir      = flag.String("soakdir", "", "where it leaves scripts of what it found")
)

// everFailed are seeds of worlds in which something was violated once. What was
// wrong has a script or a test of its own as well; a world draws other things
// when the generator changes.
//
// Not mended, and so not among them: 2148842034. A service's group cannot be read for nine
// minutes, in which castoff is started anew; of a task that fails meanwhile it says that
// its row had been gone, by somebody else's hand, since before.
var everFailed = []uint64{300, 7, 1006, 1015, 1017, 2023, 3008, 3034, 3041, 4007, 4024, 4035, 5000, 5015, 5018, 200002, 300029, 400022, 400026, 400033, 400110, 500009, 500190, 500249, 500255, 600035, 600166, 700078, 700084, 700090, 800130, 900018, 930013, 940003, 940005, 1000359, 1000929, 1000975, 1000486, 1000887, 1000917, 1100904, 1100991, 1100100, 1100472, 1100428, 1101139, 1000216, 1000737, 1000768, 1200263, 1200656, 1200537, 1300276, 1300665, 1400774, 1600189, 1700154, 1900219, 1900259, 2000178, 950001, 2100177, 2200098, 2200409, 2400236, 2400531, 2500219, 2500247, 2600236, 2600979, 2700079, 2800473, 2800501, 3100456, 3100458, 3200317, 3200447}

// soakMinutes is for how long things happen in a world.
const soakMinutes = 20

// TestSafetySoak, SAFETY and LIVENESS: random worlds with random services, lags,
// configurations and faults, held to all that castoff promises when it observes
// and when it acts, after every command. A world is a script; one in which a
// promise is broken is made small, and shown to be put into testdata.
func TestSafetySoak(t *testing.T) {
	seed := *soakSeed
	if seed == 0 {
		var b [4]byte
		_, _ = rand.Read(b[:])
		seed = uint64(binary.BigEndian.Uint32(b[:]))
	}
	// Worlds are short and of small things: a heap of some hundred MB saves a tenth of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	began := time.Now()
	t.Logf("first seed %d: -soakseed %d runs the same worlds", seed, seed)
	var sum soaked
	var next sync.Mutex
	old := everFailed
	switch {
	case *soakSeed != 0:
		old = nil
	case *soakTime == 0 && *soakWorlds < 0:
		old = old[:1]
	}
	n := 0
	draw := func() (uint64, bool) {
		next.Lock()
		defer next.Unlock()
		n++
		fresh := seed + uint64(n-len(old)) - 1
		switch {
		case n <= len(old):
			return old[n-1], true
		case *soakTime > 0:
			return fresh, time.Since(began) < *soakTime
		default:
			return fresh, n <= len(old)+*soakWorlds
		}
	}
	t.Run("worlds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for seed, more := draw(); more; seed, more = draw() {
					soak(t, seed, &sum)
				}
			})
		}
	})
	t.Log(sum.String(time.Since(began)))
}

// soaked is what the worlds came to.
type soaked struct {
	mu                        sync.Mutex
	worlds, calm, commands    int
	timelines, effects, backs int
	violations                int
	simulated                 time.Duration
	injected                  map[sim.Effect]int
	broken                    map[rule]int
}

func (sum *soaked) String(took time.Duration) string {
	sum.mu.Lock()
	defer sum.mu.Unlock()
	var faults []string
	total := 0
	for _, e := range slices.Sorted(maps.Keys(sum.injected)) {
		faults = append(faults, fmt.Sprintf("%s %d", e, sum.injected[e]))
		total += sum.injected[e]
	}
	return fmt.Sprintf("%d worlds (%d without trouble), %d commands, %s simulated in %s (%.0f worlds a minute); "+
		"%d timelines, %d targets taken out, %d put back; %d faults injected: %s; %d violations %v",
		sum.worlds, sum.calm, sum.commands, sum.simulated.Round(time.Minute), took.Round(time.Second), float64(sum.worlds)/took.Minutes(),
		sum.timelines, sum.effects, sum.backs, total, strings.Join(faults, ", "), sum.violations, sum.broken)
}

// played is a script that has run.
type played struct {
	lines     []line // that could be carried out
	outputs   []string
	dropped   int
	found     []violation
	injected  map[sim.Effect]int
	simulated time.Duration
	timelines int
	effects   int
	backs     int
	hostile   bool
}

// soak runs one world.
func soak(t *testing.T, seed uint64, sum *soaked) {
	p := play(t, nil, func(s *script, p *played) { p.draw(s, seed) })
	sum.mu.Lock()
	sum.worlds++
	if !p.hostile {
		sum.calm++
	}
	sum.commands += len(p.lines)
	sum.timelines, sum.effects, sum.backs = sum.timelines+p.timelines, sum.effects+p.effects, sum.backs+p.backs
	sum.simulated += p.simulated
	if sum.injected == nil {
		sum.injected, sum.broken = map[sim.Effect]int{}, map[rule]int{}
	}
	for e, n := range p.injected {
		sum.injected[e] += n
	}
	if len(p.found) > 0 {
		sum.violations++
		sum.broken[p.found[0].rule]++
	}
	sum.mu.Unlock()
	if len(p.found) == 0 {
		return
	}
	t.Errorf("seed %d: %s", seed, p.found[0])
	small := shrink(t, p, nil, *soakPatience)
	text := small.script(fmt.Sprintf("Found by the soak with seed %d: %s.", seed, small.found[0].rule))
	if *soakDir != "" {
		file := filepath.Join(*soakDir, fmt.Sprintf("soak_%s_%d.txt", small.found[0].rule, seed))
		must(t, os.MkdirAll(*soakDir, 0o700), os.WriteFile(file, []byte(text), 0o600))
	}
	t.Logf("as a script for testdata, %d commands of %d:\n%s", len(small.lines), len(p.lines), text)
}

// play runs a script in a bubble of its own, held to one rule more when there is
// one.
func play(t *testing.T, also func(*script), run func(*script, *played)) *played {
	p := &played{}
	synctest.Test(t, func(t *testing.T) {
		s := &script{t: t, began: time.Now(), daemons: map[string]*scripted{}, lifts: map[string]func(){}, lenient: true, also: also}
		run(s, p)
		p.simulated = time.Since(s.began)
		if s.judge == nil {
			return
		}
		p.found, p.injected = s.judge.oracle.verdict(), s.region.Injected()
		p.timelines, p.effects, p.backs = len(s.judge.judged), s.judge.oracle.effects, s.judge.oracle.backs
	})
	return p
}

// draw makes up a script while it runs.
func (p *played) draw(s *script, seed uint64) {
	d := &drawn{rng: randv2.New(randv2.NewPCG(seed, 77)), s: s, bad: map[string]bool{}}
	if !p.all(s, d.beginning(seed)) {
		return
	}
	p.hostile = d.hostile
	for end := time.Now().Add(soakMinutes * time.Minute); time.Now().Before(end); {
		if !p.all(s, d.next()) {
			return
		}
	}
	p.all(s, d.ending())
}

// all carries commands out, and answers false once something is violated.
func (p *played) all(s *script, lines []line) bool {
	for _, l := range lines {
		if !p.one(s, l) {
			return false
		}
	}
	return true
}

// one carries a command out. One that cannot be is left out of the script.
func (p *played) one(s *script, l line) bool {
	cmd, args, err := datadriven.ParseLine(l.text)
	must(s.t, err)
	output, ok := s.try(&datadriven.TestData{Pos: "soak", Cmd: cmd, CmdArgs: args, Input: strings.Join(l.input, "\n")})
	if !ok {
		p.dropped++
		return true
	}
	p.lines, p.outputs = append(p.lines, l), append(p.outputs, output)
	return s.judge == nil || len(s.judge.oracle.verdict()) == 0
}

// try carries a command out, if it can be.
func (s *script) try(d *datadriven.TestData) (output string, ok bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, is := r.(mistaken); !is {
				panic(r)
			}
			output, ok = "", false
		}
	}()
	if s.region == nil && d.Cmd != "region" {
		return "", false
	}
	return s.run(d), true
}

// script writes it as a file of testdata.
func (p *played) script(about string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", about)
	for i, l := range p.lines {
		fmt.Fprintf(&b, "\n%s\n----\n%s", l, p.outputs[i])
	}
	b.WriteString("\nviolations\n----\n")
	for _, v := range p.found {
		fmt.Fprintf(&b, "%s\n", strings.ReplaceAll(strings.TrimSpace(v.String()), "\n", "\n  "))
	}
	return b.String()
}
