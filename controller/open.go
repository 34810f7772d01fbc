package controller

import (
	"errors"
	"log/slog"
	"os"

	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/journal"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// Place is what castoff finds where it runs, beside its configuration.
type Place struct {
	// Options are what the configuration does not say. What it says is filled in: its
	// journal, policy and windows where there are none yet, all else in any case.
	Options
	// AWS is how AWS is asked; how often follows from the configuration.
	AWS awsapi.Options
	// Between may put something between castoff and AWS; nil: nothing.
	Between func(Observer, Actor) (Observer, Actor)
}

// Open makes castoff as a configuration says, and has it go on from what an earlier
// one has left in its journal: there is no other way to start. The Observer is the one
// that asks AWS, to be tried before Start.
//
// Errors are an [ObserverError], a [JournalError], a [ListenError], a [WebConfigError],
// or a mistake of the caller's.
func Open(cfg config.Config, p Place) (*Controller, *awsapi.Observer, error) {
	o := p.Options
	observer, err := awsapi.New(ObserverOptions(cfg, p.AWS))
	if err != nil {
		return nil, nil, &ObserverError{err}
	}
	if o.Journal == nil {
		if o.Journal, o.Past, err = openJournal(cfg, o.Version, o.Logger); err != nil {
			return nil, nil, err
		}
		o.Forgets = cfg.StateDir() == ""
	}
	remind(cfg, observer, &o)
	o.Observer, o.Actor = observer, awsapi.Actor{Observer: observer}
	if p.Between != nil {
		o.Observer, o.Actor = p.Between(o.Observer, o.Actor)
	}
	if o.Policy.Limits == nil {
		o.Policy = Policy{Limits: cfg.LimitsOf, Fleet: cfg.FleetLimits(), Pauses: cfg.Pauses(), Base: cfg.BaseLimits(), Rule: cfg.RuleOf}
	}
	if o.Tracker == (timeline.Settings{}) {
		o.Tracker = TrackerSettings(cfg.Timelines)
	}
	o.Configuration, o.State = cfg.String(), cfg.StateDir()
	o.Polling, o.Keep = cfg.Polling, cfg.Timelines.Keep
	o.Listen, o.WebConfigFile, o.Hosts = cfg.Web.Listen, cfg.Web.ConfigFile, hostNames(cfg)
	c, err := New(o)
	if err != nil {
		return nil, nil, errors.Join(err, o.Journal.Close())
	}
	return c, observer, nil
}

// ObserverError is AWS that cannot be asked, by what is known before it is.
type ObserverError struct{ Err error }

func (e *ObserverError) Error() string { return e.Err.Error() }
func (e *ObserverError) Unwrap() error { return e.Err }

// JournalError is a journal that cannot be opened; its text says what to do.
type JournalError struct{ Err error }

func (e *JournalError) Error() string { return e.Err.Error() }
func (e *JournalError) Unwrap() error { return e.Err }

// openJournal opens the journal and reads what an earlier castoff left in it.
func openJournal(cfg config.Config, version string, log *slog.Logger) (*journal.Journal, journal.Contents, error) {
	o := journal.Options{Version: version, Keep: journal.Keep{Count: cfg.Timelines.Keep.Count, Age: cfg.Timelines.Keep.Age}}
	switch cfg.State {
	case config.NoState:
		log.Info("state is kept in memory, as the configuration has it: a restart forgets timelines, and which targets castoff took out")
		return journal.Memory(o), journal.Contents{Fresh: true}, nil
	case "":
		log.Warn("state is kept in memory: a restart forgets timelines, and which targets castoff took out; give it a directory with --state")
		return journal.Memory(o), journal.Contents{Fresh: true}, nil
	}
	j, err := journal.Open(cfg.State, o)
	if err != nil {
		return nil, journal.Contents{}, &JournalError{err}
	}
	past, err := j.Load()
	if err != nil {
		return nil, journal.Contents{}, &JournalError{errors.Join(err, j.Close())}
	}
	if past.Fresh {
		log.Warn("the journal is new: castoff does not know of targets that it may have taken out before", "state", cfg.State)
	} else {
		log.Info("going on from the journal", "state", cfg.State, "written_by", past.Version, "written_at", past.Tracker.At,
			"open", len(past.Tracker.Failures), "detachments", len(past.Detachments), "closed", len(past.Closed))
	}
	if len(past.Aside) > 0 {
		log.Warn("damaged journals are kept beside this one; look at them and remove them", "files", past.Aside)
	}
	return j, past, nil
}

// hostNames are those of the configuration and, where it has any, this machine's own.
func hostNames(cfg config.Config) []string {
	names := cfg.HostNames()
	if own, err := os.Hostname(); err == nil && len(names) > 0 {
		names = append(names, own)
	}
	return names
}

// ObserverOptions fills in o from the configuration: what is watched, how often, and at what
// rate.
func ObserverOptions(cfg config.Config, o awsapi.Options) awsapi.Options {
	o.Clusters = cfg.Clusters
	o.Interval, o.HotInterval, o.CalmInterval = cfg.Polling.Interval, cfg.Polling.HotInterval, cfg.Polling.CalmInterval
	o.DiscoveryInterval, o.InventoryInterval = cfg.Polling.DiscoveryInterval, cfg.Polling.InventoryInterval
	o.ReplyAge = cfg.Polling.ReplyAge
	b := cfg.AWS.Budgets
	o.Budgets = awsapi.Budgets{
		ClusterRead: b.ClusterRead, ClusterResourceRead: b.ClusterResourceRead, ServiceRead: b.ServiceRead,
		TaskDefinitionRead: b.TaskDefinitionRead, BalancerRead: b.ELBRead, Registration: b.ELBWrite,
	}
	return o
}

// TrackerSettings are the windows and lags of the configuration, and the lags that
// have no setting.
func TrackerSettings(cfg config.Timelines) timeline.Settings {
	s := timeline.DefaultSettings()
	s.RecoveryWindow, s.SettleWindow, s.LostAfter, s.ReportLag = cfg.RecoveryWindow, cfg.SettleWindow, cfg.LostAfter, cfg.ReportLag
	return s
}
