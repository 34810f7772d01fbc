// Command prometheus finds targets once, with Prometheus's own service discovery by
// ECS, and prints their labels as JSON. It is a module of its own: castoff needs none
// of what it needs. AWS is where the environment says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/aws"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.yaml.in/yaml/v2"
)

func main() {
	if err := find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func find() error {
	var cfg aws.SDConfig
	if err := yaml.Unmarshal([]byte("role: ecs\nport: 9468\nrefresh_interval: 60s\n"), &cfg); err != nil {
		return err
	}
	reg := prometheus.NewRegistry()
	metrics := cfg.NewDiscovererMetrics(reg, discovery.NewRefreshMetrics(reg))
	if err := metrics.Register(); err != nil {
		return err
	}
	d, err := cfg.NewDiscoverer(discovery.DiscovererOptions{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Metrics: metrics})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	found := make(chan []*targetgroup.Group)
	go d.Run(ctx, found)
	select {
	case groups := <-found:
		targets := []model.LabelSet{}
		for _, g := range groups {
			for _, t := range g.Targets {
				targets = append(targets, t.Merge(g.Labels))
			}
		}
		return json.NewEncoder(os.Stdout).Encode(targets)
	case <-ctx.Done():
		return errors.New("nothing was found in time")
	}
}
