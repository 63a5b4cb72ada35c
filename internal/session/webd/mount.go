package webd

import (
	"context"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"

	"yubin/internal/mail"
)

// Mount is one thing that is served.
type Mount struct {
	Name string // in the log and in metrics: one word
	// Path is what is asked for: exactly this, or, if it ends in "/" and is longer than
	// that, all below it.
	Path string
	Fold bool // ASCII case does not count in Path
	// Hosts says for which names it is served; nil is all that are ours.
	Hosts   func(context.Context, mail.Domain) bool
	Any     bool     // for names that are not ours as well: who asks knows something that nobody guesses
	Methods []string // nil is GET and HEAD
	Plain   bool     // without TLS too, where others only lead to https
	MaxBody int64    // octets of a request's body; 0 takes none
	Handler http.Handler
}

// reading are the methods of a Mount that names none.
var reading = []string{http.MethodGet, http.MethodHead}

func (m *Mount) methods() []string {
	if m.Methods == nil {
		return reading
	}
	return m.Methods
}

// takes reports whether m is about p.
func (m *Mount) takes(p string) bool {
	if below := len(m.Path) > 1 && strings.HasSuffix(m.Path, "/"); below && len(p) > len(m.Path) {
		p = p[:len(m.Path)]
	} else if below {
		return false
	}
	if m.Fold {
		return strings.EqualFold(p, m.Path)
	}
	return p == m.Path
}

// target is what a request asks for.
type target struct {
	host  mail.Domain // "" if it names none that could be ours
	path  string
	mount *Mount // nil for none
	// status is why there is none: 404, 405, 421, or 301 where https has it.
	status int
}

// find says what r asks for.
func (s *Server) find(r *http.Request) target {
	t := target{host: hostOf(r.Host), path: r.URL.Path, status: http.StatusNotFound}
	ours := t.host != "" && s.c.Ours(r.Context(), t.host)
	if !ours && r.TLS != nil {
		t.status = http.StatusMisdirectedRequest // RFC 9110 §15.5.20
	}
	if t.host == "" || !sound(r) {
		return t
	}
	for i := range s.mounts {
		m := &s.mounts[i]
		switch {
		case !ours && !m.Any, !m.takes(t.path), m.Hosts != nil && !m.Hosts(r.Context(), t.host):
			continue
		case r.TLS == nil && !m.Plain:
			if s.c.HTTPS != 0 && slices.Contains(reading, r.Method) {
				t.status = http.StatusMovedPermanently
			}
			return t
		}
		t.mount = m
		if !slices.Contains(m.methods(), r.Method) {
			t.status = http.StatusMethodNotAllowed
		}
		return t
	}
	return t
}

// hostOf is the name in a Host field, or "".
func hostOf(field string) mail.Domain {
	host := field
	if name, port, err := net.SplitHostPort(field); err == nil {
		if len(port) > 5 || strings.ContainsFunc(port, func(r rune) bool { return r < '0' || r > '9' }) {
			return ""
		}
		host = name
	}
	d, err := mail.ParseDomain(strings.TrimSuffix(host, "."))
	if err != nil || d.IsLiteral() {
		return ""
	}
	return d
}

// sound reports whether the path of r is written as it is meant: no way up, nothing empty,
// nothing hidden.
func sound(r *http.Request) bool {
	p := r.URL.Path
	if r.URL.RawPath != "" || !strings.HasPrefix(p, "/") || strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == '\\' || r > '~' }) {
		return false
	}
	clean := path.Clean(p)
	return p == clean || p == clean+"/"
}

// sorted is mounts, the longer path first: "/" is last.
func sorted(mounts []Mount) []Mount {
	list := slices.Clone(mounts)
	slices.SortStableFunc(list, func(a, b Mount) int { return len(b.Path) - len(a.Path) })
	return list
}
