package config

import (
	"github.com/goccy/go-yaml"
)

// WebFile is what castoff itself must know of a web configuration of the
// Prometheus exporter-toolkit. The toolkit holds the file to its rules; this is
// for telling which user breaks one, and for asking castoff's own listener.
//
// Source: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
type WebFile struct {
	TLS         bool              // it serves HTTPS
	RateLimited bool              // requests may be answered 429
	Users       map[string]Secret // password hashes, by user
}

// ReadWebFile reads a web configuration. Of what is not YAML, or of another
// form, it knows nothing: a server without TLS and without users.
func ReadWebFile(data []byte) WebFile {
	var file struct {
		TLS struct {
			Cert     string `yaml:"cert"`
			CertFile string `yaml:"cert_file"`
		} `yaml:"tls_server_config"`
		Limit struct {
			Interval string `yaml:"interval"`
		} `yaml:"rate_limit"`
		Users map[string]Secret `yaml:"basic_auth_users"`
	}
	if yaml.Unmarshal(data, &file) != nil {
		return WebFile{}
	}
	return WebFile{
		TLS:         file.TLS.Cert != "" || file.TLS.CertFile != "",
		RateLimited: file.Limit.Interval != "",
		Users:       file.Users,
	}
}
