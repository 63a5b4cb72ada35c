package clientconf

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the pages
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// page is what the template is given.
type page struct {
	Title   string
	Style   template.CSS
	Host    string
	Domain  string // "" if the page is for no domain
	Address string // "" if nobody said one
	Typed   string // what is in the field for it
	Fault   string // what is wrong with it
	Welcome bool   // the first page: only what this is
	Rows    []row
	Profile string // the URL of the profile; "" if there is none
}

// row is one service.
type row struct {
	What     string
	Host     string
	Port     uint16
	Security string
}

var whats = [...]string{clients.IMAP: "Incoming mail, IMAP", clients.POP3: "Incoming mail, POP3", clients.Submission: "Outgoing mail, SMTP"}
var securities = [...]string{clients.TLS: "SSL/TLS", clients.StartTLS: "STARTTLS"}

// rows are the services as people see them; all but the best of a protocol are for clients
// that do not take that.
func rows(s clients.Settings) (list []row) {
	seen := map[clients.Protocol]bool{}
	for _, one := range s.Services {
		what := whats[one.Protocol]
		if seen[one.Protocol] {
			what += ", or"
		}
		seen[one.Protocol] = true
		list = append(list, row{what, string(one.Host), one.Port, securities[one.Security]})
	}
	return list
}

// pages are the pages for people.
type pages struct {
	template *template.Template
	policy   string // of their contents
}

func newPages() pages {
	sum := sha256.Sum256([]byte(pageStyle))
	return pages{
		template: template.Must(template.New("page").Parse(pageText)),
		policy: "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; style-src 'sha256-" +
			base64.StdEncoding.EncodeToString(sum[:]) + "'",
	}
}

func (p pages) write(w http.ResponseWriter, code int, content page) {
	content.Style = template.CSS(pageStyle)
	b := new(bytes.Buffer)
	if err := p.template.Execute(b, content); err != nil {
		http.Error(w, "try again later", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", p.policy)
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// Welcome answers at "/".
func (h *Handlers) Welcome(w http.ResponseWriter, _ *http.Request) {
	h.pages.write(w, http.StatusOK, page{Title: string(h.c.Hostname), Host: string(h.c.Hostname), Welcome: true})
}

// Setup answers at SetupPath: what to enter by hand, for an address if one is given.
func (h *Handlers) Setup(w http.ResponseWriter, r *http.Request) {
	content := page{Title: "Set up your mail", Host: string(h.c.Hostname), Typed: shown(strings.TrimSpace(r.URL.Query().Get("address")))}
	q, err := h.asked(r)
	var s clients.Settings
	if err == nil {
		s, err = h.settings(r.Context(), q)
	}
	if err != nil {
		if content.Fault = err.Error(); mail.KindOf(err) != mail.Invalid && mail.KindOf(err) != mail.NotFound {
			content.Fault = "That cannot be told just now. Try again later."
		}
		h.pages.write(w, status(err), content)
		return
	}
	content.Domain, content.Rows = s.Domain.Unicode(), rows(s)
	if !q.address.IsZero() {
		content.Address = q.address.String()
	}
	if _, err := profile(s, q.address, h.c.Hostname); err == nil {
		content.Profile = ProfilePath
		if content.Address != "" {
			content.Profile += "?" + url.Values{"address": {content.Address}}.Encode()
		}
	}
	h.pages.write(w, http.StatusOK, content)
}
