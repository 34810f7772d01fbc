package config_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/castoff-ecs/castoff/controller/config"
)

func TestReadWebFile(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       config.WebFile
	}{
		{"users, and what else there may be", "http_server_config: {http2: true}\nbasic_auth_users:\n  ops: $2y$10$hash\n  dev: x\n",
			config.WebFile{Users: map[string]config.Secret{"ops": "$2y$10$hash", "dev": "x"}}},
		{"a certificate in a file", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n", config.WebFile{TLS: true}},
		{"a certificate in the configuration", "tls_server_config: {cert: x, key: y}\n", config.WebFile{TLS: true}},
		{"a limit", "rate_limit: {burst: 1, interval: 1s}\n", config.WebFile{RateLimited: true}},
		{"a limit of nothing", "rate_limit: {burst: 1}\n", config.WebFile{}},
		{"nothing", "", config.WebFile{}},
		{"no YAML", "basic_auth_users: [", config.WebFile{}},
		{"users that are none", "basic_auth_users: ops\n", config.WebFile{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := config.ReadWebFile([]byte(tt.file))
			if !maps.Equal(got.Users, tt.want.Users) || got.TLS != tt.want.TLS || got.RateLimited != tt.want.RateLimited {
				t.Errorf("TLS %t, limited %t, %d users; want %t, %t, %d", got.TLS, got.RateLimited, len(got.Users), tt.want.TLS, tt.want.RateLimited, len(tt.want.Users))
			}
			if text := fmt.Sprintf("%+v", got); strings.Contains(text, "hash") {
				t.Errorf("printed %s", text)
			}
		})
	}
}
