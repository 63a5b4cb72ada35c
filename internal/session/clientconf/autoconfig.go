package clientconf

import (
	"encoding/xml"
	"net/http"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
)

// clientConfig is Mozilla's file format for the settings of an account, version 1.1
// ("Autoconfig file format definition"; draft-ietf-mailmaint-autoconfig).
type clientConfig struct {
	XMLName  xml.Name      `xml:"clientConfig"`
	Version  string        `xml:"version,attr"`
	Provider emailProvider `xml:"emailProvider"`
}

type emailProvider struct {
	ID        string             `xml:"id,attr"`
	Domain    string             `xml:"domain"`
	Name      string             `xml:"displayName"`
	ShortName string             `xml:"displayShortName"`
	Incoming  []autoconfigServer `xml:"incomingServer"`
	Outgoing  []autoconfigServer `xml:"outgoingServer"`
	Page      documentation      `xml:"documentation"`
}

type autoconfigServer struct {
	Type           string `xml:"type,attr"`
	Hostname       string `xml:"hostname"`
	Port           uint16 `xml:"port"`
	SocketType     string `xml:"socketType"`
	Authentication string `xml:"authentication"`
	Username       string `xml:"username"`
}

type documentation struct {
	URL         string      `xml:"url,attr"`
	Description description `xml:"descr"`
}

type description struct {
	Language string `xml:"lang,attr"`
	Text     string `xml:",chardata"`
}

// wholeAddress is what a client puts the address of its owner in for. So the answer is the
// same for all addresses of a domain.
const wholeAddress = "%EMAILADDRESS%"

// autoconfigServers are the services of a protocol.
func autoconfigServers(name string, list []clients.Service) (servers []autoconfigServer) {
	for _, s := range list {
		// "password-cleartext" is PLAIN and LOGIN, inside TLS; "password-encrypted" would be CRAM-MD5.
		servers = append(servers, autoconfigServer{name, string(s.Host), s.Port, socketTypes[s.Security], "password-cleartext", wholeAddress})
	}
	return servers
}

var socketTypes = [...]string{clients.TLS: "SSL", clients.StartTLS: "STARTTLS"}

// autoconfig is the file for s.
func autoconfig(s clients.Settings, page string) ([]byte, error) {
	name := s.Domain.Unicode()
	return document(clientConfig{Version: "1.1", Provider: emailProvider{
		ID: string(s.Domain), Domain: string(s.Domain), Name: name, ShortName: name,
		Incoming: append(autoconfigServers("imap", s.Of(clients.IMAP)), autoconfigServers("pop3", s.Of(clients.POP3))...),
		Outgoing: autoconfigServers("smtp", s.Of(clients.Submission)),
		Page:     documentation{page, description{"en", "What to enter by hand"}},
	}})
}

// document is v as a file of XML.
func document(v any) ([]byte, error) {
	text, err := xml.MarshalIndent(v, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}

// Autoconfig answers Thunderbird and others at AutoconfigPath and AutoconfigWellKnown.
func (h *Handlers) Autoconfig(w http.ResponseWriter, r *http.Request) {
	q, err := h.asked(r)
	if err == nil && q.domain == "" {
		err = mail.Errorf(mail.Invalid, "ask with ?emailaddress=, or at %sDOMAIN", AutoconfigHost)
	}
	var s clients.Settings
	if err == nil {
		s, err = h.settings(r.Context(), q)
	}
	var text []byte
	if err == nil {
		text, err = autoconfig(s, "https://"+string(h.c.Hostname)+SetupPath)
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/xml; charset=utf-8")
	_, _ = w.Write(text)
}
