package admin

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
)

// Clients says what mail clients are to use.
type Clients interface {
	Settings(context.Context, mail.Domain) (clients.Settings, error)
}

// ClientSettings is what a client is to use for an address, or for those of a domain.
type ClientSettings struct {
	Domain   string          `json:"domain"`
	Login    string          `json:"login,omitempty"` // "" if no address was given: each its own
	Services []ClientService `json:"services"`        // the best of a protocol first
}

// ClientService is one place to connect to.
type ClientService struct {
	Protocol string `json:"protocol"` // "imap", "pop3" or "submission"
	Host     string `json:"host"`
	Port     uint16 `json:"port"`
	Security string `json:"security"` // "tls" or "starttls"
	Login    string `json:"login,omitempty"`
}

// clientSettings answers for ?address, which is an address or a domain.
func (h *Handler) clientSettings(r *http.Request) (any, error) {
	text := r.URL.Query().Get("address")
	var domain mail.Domain
	login := ""
	if strings.Contains(text, "@") {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		domain, login = a.Domain, a.String()
	} else {
		d, err := mail.ParseDomain(text)
		if err != nil {
			return nil, err
		}
		domain = d
	}
	s, err := h.Clients.Settings(r.Context(), domain)
	if err != nil {
		return nil, err
	}
	if len(s.Services) == 0 {
		return nil, mail.Errorf(mail.Unavailable, "no listener for clients is known: name the configuration with --config, or add listeners of imap and submission with TLS to it")
	}
	out := ClientSettings{Domain: string(domain), Login: login, Services: []ClientService{}}
	for _, one := range s.Services {
		out.Services = append(out.Services, ClientService{one.Protocol.String(), string(one.Host), one.Port, one.Security.String(), login})
	}
	return out, nil
}

// ClientSettings says what clients are to use for an address or a domain.
func (c *Client) ClientSettings(ctx context.Context, address string) (s ClientSettings, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/client-settings?"+url.Values{"address": {address}}.Encode(), nil, &s)
	return s, err
}
