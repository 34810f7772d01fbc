package controller

import (
	"github.com/castoff-ecs/castoff/controller/awsapi"
	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/timeline"
)

// ObserverOptions fills in o from the configuration: what is watched, how often, and
// at what rate. A run and a play of its record must read alike, so both use it.
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
