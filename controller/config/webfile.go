package config

import (
	"github.com/goccy/go-yaml"
)

// BasicAuth are the password hashes by user in a web configuration of the
// Prometheus exporter-toolkit. The toolkit itself holds the file to its rules;
// this is for telling which user breaks one. Nil when the file is not YAML.
//
// Source: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
func BasicAuth(webConfig []byte) map[string]Secret {
	var file struct {
		Users map[string]Secret `yaml:"basic_auth_users"`
	}
	if yaml.Unmarshal(webConfig, &file) != nil {
		return nil
	}
	return file.Users
}
