package webd

import (
	"context"
	"io"
	"net/http"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/mailauth/mtasts"
)

// Policies knows what our domains want of those who send to them (RFC 8461). Errors:
// NotFound if a domain wants nothing.
type Policies interface {
	Policy(context.Context, mail.Domain) (mtasts.Policy, error)
}

// PolicyHost is what stands before a domain in the name of the host of its policy
// (RFC 8461 §3.3).
const PolicyHost = mtasts.HostLabel + "."

// PolicyMount serves the policies of domains that are local.
func PolicyMount(p Policies, local func(context.Context, mail.Domain) bool) Mount {
	return Mount{
		Name: "mta-sts", Path: mtasts.Path,
		Hosts: func(ctx context.Context, host mail.Domain) bool {
			domain, is := strings.CutPrefix(string(host), PolicyHost)
			return is && local(ctx, mail.Domain(domain))
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { servePolicy(w, r, p) }),
	}
}

// servePolicy answers with the policy of the domain that the host is for. Whoever cannot
// have it goes on with the one it knows (RFC 8461 §3.3), so trouble of ours is 503.
func servePolicy(w http.ResponseWriter, r *http.Request, p Policies) {
	domain := strings.TrimPrefix(string(hostOf(r.Host)), PolicyHost)
	policy, err := p.Policy(r.Context(), mail.Domain(domain))
	switch {
	case mail.KindOf(err) == mail.NotFound:
		http.Error(w, "there is no policy", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, "the policy cannot be told just now", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", mtasts.MediaType+"; charset=utf-8")
	_, _ = io.WriteString(w, policy.String())
}
