package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/castoff-ecs/castoff/controller"
	"github.com/castoff-ecs/castoff/controller/config"
)

// healthWithin is how long castoff may take to answer: less than the 5 s that
// ECS gives a health check by default, so that the reason is said in time.
const healthWithin = 4 * time.Second

type healthcheckCmd struct {
	Config    *string `help:"Configuration file that castoff runs with. Without it, the YAML in CASTOFF_CONFIG; without that, defaults." placeholder:"FILE"`
	Listen    *string `help:"Address that castoff listens on (default :9468)." placeholder:"HOST:PORT"`
	WebConfig *string `name:"web.config.file" help:"Web configuration that castoff runs with." placeholder:"FILE"`
}

func (c healthcheckCmd) Help() string {
	return "For the health check of a container, beside castoff run and with the same settings. In an ECS task definition:\n\n" +
		"  \"healthCheck\": {\"command\": [\"CMD\", \"/castoff\", \"healthcheck\"]}\n\n" +
		"It asks for life, not for readiness: that AWS does not answer is no reason to start castoff again.\n\n" +
		"Exit codes: 0 castoff lives; 1 it does not answer; 2 wrong usage; 3 the configuration is unreadable or wrong.\n"
}

// Run ends well if castoff answers on its own listener.
func (c healthcheckCmd) Run(ctx context.Context) error {
	state := config.NoState // castoff run may have it from a flag, and nothing is kept here
	cfg, err := runCmd{Config: c.Config, Listen: c.Listen, WebConfig: c.WebConfig, State: &state}.settle()
	if err != nil {
		return err
	}
	if _, port, err := net.SplitHostPort(cfg.Web.Listen); err == nil && port == "0" {
		return usageError("castoff listens on any free port: give --listen the address that its log names")
	}
	p := probe{address: cfg.Web.Listen}
	if file := cfg.Web.ConfigFile; file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return &controller.WebConfigError{File: file, Err: err}
		}
		p.web = config.ReadWebFile(data)
	}
	ctx, cancel := context.WithTimeout(ctx, healthWithin)
	defer cancel()
	return p.alive(ctx)
}

// probe asks a castoff on this machine for a sign of life. It has neither a
// password (the web configuration has hashes) nor a client's certificate, so to
// be refused for want of what that file demands is a sign, too: the listener, its
// TLS and its handlers work.
type probe struct {
	address string // as it is listened on; without a host, this machine's own
	web     config.WebFile
}

func (p probe) alive(ctx context.Context) error {
	var wantsCertificate bool
	transport := &http.Transport{
		// The listener itself, whatever proxy the environment names for AWS.
		Proxy: nil,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, p.address)
		},
		TLSClientConfig: &tls.Config{
			// The certificate is for castoff's name, and this is not asked by name.
			// Nothing secret is sent, and of the answer only the status counts.
			InsecureSkipVerify: true,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				wantsCertificate = true
				return new(tls.Certificate), nil
			},
		},
		DisableKeepAlives: true,
	}
	url := "http://castoff/healthz"
	if p.web.TLS {
		url = "https://castoff/healthz"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking castoff on %s: %w", p.address, err)
	}
	response, err := transport.RoundTrip(request)
	var refused *net.OpError
	switch {
	case errors.As(err, &refused) && refused.Op == "remote error" && wantsCertificate:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("castoff on %s does not answer within %s", p.address, healthWithin)
	case err != nil:
		return fmt.Errorf("castoff on %s does not answer: %w", p.address, err)
	}
	_ = response.Body.Close() // the status says it all
	switch {
	case response.StatusCode == http.StatusOK,
		response.StatusCode == http.StatusUnauthorized && len(p.web.Users) > 0,
		response.StatusCode == http.StatusTooManyRequests && p.web.RateLimited:
		return nil
	default:
		return fmt.Errorf("castoff on %s answers /healthz with %s", p.address, response.Status)
	}
}
