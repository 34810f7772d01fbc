package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/castoff-ecs/castoff/controller/policy"
)

var patternFormat = rule{"services.match.format", []string{"services"}, func(c *Config, blame blame) {
	eachPattern(c, func(path, pattern string, _ int) {
		if !isPattern.MatchString(pattern) {
			blame(path, patternMust, quoted(pattern))
		}
	})
}}

const patternMust = "must be CLUSTER/SERVICE by their short names, in which * is any run of characters and ? any one, such as prod/web-*"

var isPattern = regexp.MustCompile(`^[a-zA-Z0-9_*?-]+/[a-zA-Z0-9_*?-]+$`)

// eachPattern calls check for every pattern with its path and its rule's index.
func eachPattern(c *Config, check func(path, pattern string, rule int)) {
	for i, s := range c.Services {
		for j, pattern := range s.Match {
			check(patternPath(i, j), pattern, i)
		}
	}
}

func patternPath(i, j int) string { return fmt.Sprintf("%s.match[%d]", servicePath(i), j) }

var patternRequired = rule{"services.match.required", []string{"services"}, func(c *Config, blame blame) {
	for i, s := range c.Services {
		if len(s.Match) == 0 {
			blame(servicePath(i)+".match", "must be there: it says which services the rule is for", "")
		}
	}
}}

// Who puts a pattern below one that covers it believes that the closer one
// decides: castoff would act where it was told not to.
var patternReached = rule{"services.match.reached", []string{"services"}, func(c *Config, blame blame) {
	eachPattern(c, func(path, pattern string, rule int) {
		for i, s := range c.Services[:rule] {
			j := slices.IndexFunc(s.Match, func(earlier string) bool { return covers(earlier, pattern) })
			if j < 0 {
				continue
			}
			must := fmt.Sprintf("must come before %s, %s, which covers it: the first match decides", patternPath(i, j), quoted(s.Match[j]))
			if s.Match[j] == pattern {
				must = fmt.Sprintf("must be another pattern than %s: the first match decides", patternPath(i, j))
			}
			blame(path, must, quoted(pattern))
			return
		}
	})
}}

var modeChoice = oneOf("mode", func(c *Config) string { return string(c.Mode) }, string(policy.Observing), string(policy.Detaching))

var serviceModeChoice = rule{"services.mode.choice", []string{"services"}, func(c *Config, blame blame) {
	for i, s := range c.Services {
		if s.Mode != "" && !slices.Contains(policy.Modes, s.Mode) {
			blame(servicePath(i)+".mode", "must be one of "+listed(policy.Modes), quoted(string(s.Mode)))
		}
	}
}}

// A castoff that forgets what it took out leaves it out, however well its task gets.
var stateRequired = rule{"state.required", []string{"state", "mode", "services"}, func(c *Config, blame blame) {
	detaches := c.Mode == policy.Detaching || slices.ContainsFunc(c.Services, func(s Service) bool { return s.Mode == policy.Detaching })
	if c.State == "" && detaches {
		blame("state", "must be a directory (or --state DIR be given), since a mode is detach: else a restart forgets what castoff took out, and it stays out. "+
			"Say none if that is meant: then castoff puts back what is healthy when it is stopped", quoted(""))
	}
}}

func listed[S ~string](all []S) string {
	var names []string
	for _, s := range all {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// pauseRule is a rule about every pause by itself. It blames keys of the pause.
func pauseRule(name string, check func(p *Pause, blame blame)) rule {
	return rule{"pause." + name, []string{"pause"}, func(c *Config, say blame) {
		for i := range c.Pause {
			check(&c.Pause[i], func(key, must, got string) { say(fmt.Sprintf("pause[%d].%s", i, key), must, got) })
		}
	}}
}

var (
	scopeChoice = pauseRule("scope.choice", func(p *Pause, blame blame) {
		if !slices.Contains(policy.Scopes, p.Scope) {
			blame("scope", "must be one of "+listed(policy.Scopes), quoted(string(p.Scope)))
		}
	})
	pauseCluster = pauseRule("cluster.scope", func(p *Pause, blame blame) {
		switch {
		case !slices.Contains(policy.Scopes, p.Scope):
		case p.Scope == policy.ScopeAll && p.Cluster != "":
			blame("cluster", "must be left out, for the scope is all", quoted(p.Cluster))
		case p.Scope != policy.ScopeAll && !clusterName.MatchString(p.Cluster):
			blame("cluster", "must be the name of an ECS cluster, for the scope is "+string(p.Scope), quoted(p.Cluster))
		}
	})
	pauseService = pauseRule("service.scope", func(p *Pause, blame blame) {
		switch {
		case !slices.Contains(policy.Scopes, p.Scope):
		case p.Scope != policy.ScopeService && p.Service != "":
			blame("service", "must be left out, for the scope is "+string(p.Scope), quoted(p.Service))
		case p.Scope == policy.ScopeService && !serviceName.MatchString(p.Service):
			blame("service", "must be the name of an ECS service, for the scope is service", quoted(p.Service))
		}
	})
	// That an end is past is no mistake: the file may outlive the pause.
	pauseEnd = pauseRule("until.end", func(p *Pause, blame blame) {
		switch {
		case p.Forever && !p.Until.IsZero():
			blame("until", "must be left out beside forever: true", "")
		case !p.Forever && p.Until.IsZero():
			blame("until", "must be there, such as 2026-11-23T18:00:00Z, or else forever: true", "")
		}
	})
	pauseOwner = pauseRule("owner.required", func(p *Pause, blame blame) {
		if strings.TrimSpace(p.Owner) == "" {
			blame("owner", "must be there: it says whom to ask about the pause", "")
		}
	})
	pauseReason = pauseRule("reason.required", func(p *Pause, blame blame) {
		if strings.TrimSpace(p.Reason) == "" {
			blame("reason", "must be there: it says why to pause", "")
		}
	})
)

// senseless are the problems that policy itself finds with limits. r says what
// the file had and where.
func senseless(c *Config, r *reader) []Problem {
	general := unmoded(c.Limits)
	problems := r.adopt(general, "limits", "limits", nil)
	for i, s := range c.Services {
		problems = append(problems, r.adopt(unmoded(s.Limits), "limits", servicePath(i)+".limits", general)...)
	}
	return append(problems, r.adopt(c.Fleet.Validate(), "fleet", "fleet", nil)...)
}

// unmoded are the problems of limits without their mode, which they have from
// elsewhere.
func unmoded(l policy.Limits) []policy.Problem {
	l.Mode = policy.Observing
	return l.Validate()
}

// adopt makes policy's problems with the limits at a path problems of the file.
// Of limits that start from the general ones at base, those that are no fault of
// their own are left to be reported there.
func (r *reader) adopt(found []policy.Problem, base, path string, general []policy.Problem) []Problem {
	own := func(limit string) bool { return r.lines[path+"."+limit] > 0 }
	// from is where a limit has its value from. Without a file nobody knows.
	from := func(limit string) string {
		if own(limit) || len(r.lines) == 0 {
			return path + "." + limit
		}
		return base + "." + limit
	}
	var problems []Problem
	for _, p := range found {
		if !own(p.Path) && slices.Contains(general, p) || r.unread(from(p.Path)) {
			continue
		}
		adopted := Problem{
			Line: r.lines[path+"."+p.Path],
			Path: path + "." + p.Path,
			Rule: base + "." + p.Path + ".range",
			Must: short(p.Must),
			Got:  short(p.Got),
		}
		if other, ok := r.mentioned(p, base); ok {
			if r.unread(from(other)) {
				continue
			}
			adopted.Rule = base + "." + p.Path + ".order"
			adopted.Must = strings.Replace(adopted.Must, other, from(other), 1)
			if len(r.lines) > 0 && !own(p.Path) {
				adopted.Line = r.lines[path+"."+other]
				adopted.Got += ", " + r.origin(from(p.Path))
			}
		}
		// A value out of range breaks what follows from it as well: once is enough.
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Path == adopted.Path }) {
			problems = append(problems, adopted)
		}
	}
	return problems
}

// origin says where a limit that is not the place's own has its value from.
func (r *reader) origin(path string) string {
	if r.lines[path] > 0 {
		return "from " + path
	}
	return "the default"
}

// mentioned is the other limit that a limit is held against, if any, by its path
// in the problem's sentence.
func (r *reader) mentioned(p policy.Problem, base string) (limit string, ok bool) {
	for _, word := range strings.Fields(p.Must) {
		if slices.Contains(r.known, base+"."+word) {
			return word, true
		}
	}
	return "", false
}

// short is a sentence with its durations written as everywhere in a report.
func short(sentence string) string {
	return strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(sentence)
}
