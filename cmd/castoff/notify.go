package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/castoff-ecs/castoff/controller/config"
	"github.com/castoff-ecs/castoff/controller/notify"
	"github.com/castoff-ecs/castoff/controller/webhook"
	"github.com/castoff-ecs/castoff/metrics"
)

// receiversOf are the receivers of a configuration, with their secrets from where
// they are kept.
func receiversOf(cfg config.Config) ([]webhook.Receiver, error) {
	cfg, err := cfg.Resolved(os.LookupEnv, os.ReadFile)
	if err != nil {
		return nil, err
	}
	var all []webhook.Receiver
	for _, n := range cfg.Notifications {
		text, err := notify.ParseText(n.Text)
		if err != nil {
			return nil, err // a configuration that was not validated
		}
		headers := http.Header{}
		for _, h := range n.Headers {
			headers.Set(h.Name, h.Value.Reveal())
		}
		all = append(all, webhook.Receiver{
			Name: n.Name, Kind: n.Kind, URL: n.URL.Reveal(), Secret: n.Secret.Reveal(), Headers: headers, Timeout: n.Timeout, Rule: n.Rule(), Text: text,
		})
	}
	return all, nil
}

// newNotifier makes the one that tells receivers what happens; nil when there are
// none.
func newNotifier(cfg config.Config, region string, to []webhook.Receiver, m *metrics.Notifications, log *slog.Logger) (*webhook.Sender, error) {
	if len(to) == 0 {
		return nil, nil
	}
	roots, err := certificates()
	if err != nil {
		return nil, err
	}
	v, _ := build()
	return webhook.New(webhook.Options{
		Receivers: to, Place: notify.Place{Region: region, URL: strings.TrimRight(cfg.Web.ExternalURL, "/")}, Version: v,
		Transport: webhook.Transport(http.ProxyFromEnvironment, roots), Recorder: m, Logger: log,
	})
}

// certificates are the system's and those that AWS is trusted by: who sits
// between castoff and AWS sits between castoff and everybody else.
func certificates() (*x509.CertPool, error) {
	bundle := os.Getenv("AWS_CA_BUNDLE")
	if bundle == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates of AWS_CA_BUNDLE: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("AWS_CA_BUNDLE: there is no certificate in %s", bundle)
	}
	return pool, nil
}

// sendTest sends a test message to every receiver of a configuration, and says
// what became of each.
func sendTest(ctx context.Context, cfg config.Config, out io.Writer) error {
	to, err := receiversOf(cfg)
	if err != nil {
		return err
	}
	if len(to) == 0 {
		return errors.New("there is nobody to send a test message to: the configuration has no notifications")
	}
	_, m := newMetrics()
	sender, err := newNotifier(cfg, cfg.Region, to, m.Notifications, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range to {
		if err := sender.Try(ctx, r.Name); err != nil {
			errs = append(errs, fmt.Errorf("receiver %s has not taken the test message: %w", r.Name, err))
			continue
		}
		if _, err := fmt.Fprintf(out, "receiver %s has taken the test message\n", r.Name); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}
