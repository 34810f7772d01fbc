package config_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/castoff-ecs/castoff/controller/config"
)

func TestBasicAuth(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       map[string]config.Secret
	}{
		{"users, and what else there may be", "tls_server_config: {cert_file: cert.pem}\nbasic_auth_users:\n  ops: $2y$10$hash\n  dev: x\n", map[string]config.Secret{"ops": "$2y$10$hash", "dev": "x"}},
		{"no users", "rate_limit: {burst: 1}\n", nil},
		{"nothing", "", nil},
		{"no YAML", "basic_auth_users: [", nil},
		{"users that are none", "basic_auth_users: ops\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := config.BasicAuth([]byte(tt.file))
			if !maps.Equal(got, tt.want) {
				t.Errorf("got %d users, want %d", len(got), len(tt.want))
			}
			if text := fmt.Sprintf("%+v", got); strings.Contains(text, "hash") {
				t.Errorf("printed %s", text)
			}
		})
	}
}
