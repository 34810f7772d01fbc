package controller

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/crypto/bcrypt"

	"github.com/castoff-ecs/castoff/controller/config"
)

// CheckWebConfig says whether castoff can serve with a web configuration, as New
// does; an empty name is none. The error is a *WebConfigError.
func CheckWebConfig(file string) error {
	err := web.Validate(file)
	if err == nil {
		return nil
	}
	if hash := badHash(file); hash != nil {
		err = hash
	}
	return &WebConfigError{File: file, Err: err}
}

// badHash names the first user whose password is no bcrypt hash, which the
// toolkit does not; nil when there is none.
func badHash(file string) error {
	data, _ := os.ReadFile(file) // where it cannot be read, the toolkit has said so
	users := config.ReadWebFile(data).Users
	for _, user := range slices.Sorted(maps.Keys(users)) {
		if _, err := bcrypt.Cost([]byte(users[user].Reveal())); err != nil {
			return fmt.Errorf("basic_auth_users: the password of %q must be a bcrypt hash, as htpasswd -nB makes it", user)
		}
	}
	return nil
}

// WebConfigError is a web configuration that cannot be read or makes no sense.
type WebConfigError struct {
	File string
	Err  error
}

func (e *WebConfigError) Error() string {
	reason := e.Err
	var path *os.PathError // says the file again, unless it is another
	if errors.As(reason, &path) && path.Path == e.File {
		reason = path.Err
	}
	// The YAML decoder's messages have several lines.
	return fmt.Sprintf("web configuration %s: %s", e.File, strings.Join(strings.Fields(reason.Error()), " "))
}

func (e *WebConfigError) Unwrap() error { return e.Err }
