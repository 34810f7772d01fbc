package status

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ownHost refuses requests for a host name that is not castoff's. A page of somebody else's
// can make a browser ask castoff, by a name of its own that it resolves to castoff's
// address, and read the answer (DNS rebinding). It cannot do that with an IP address, so
// every address is castoff's, and the names of loopback are too. With no names given
// every host is. Health checks are never refused.
func ownHost(next http.Handler, names []string) http.Handler {
	if len(names) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostOf(r.Host)
		switch _, err := netip.ParseAddr(host); {
		case r.URL.Path == "/healthz", r.URL.Path == "/readyz",
			err == nil, host == "localhost",
			slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(hostOf(name), host) }):
			next.ServeHTTP(w, r)
		default:
			refuse(w, r, &problem{unknownHost, fmt.Sprintf("castoff is not known by the name %q: add it to web.hosts in castoff's configuration, or use an IP address", clip(host))})
		}
	})
}

// hostOf is the host of host or host:port, without brackets and the dot that ends a full
// name.
func hostOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
