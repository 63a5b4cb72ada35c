package clientconf

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strings"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
)

// MaxAutodiscover is how many octets a request may have. Those of clients have some 400.
const MaxAutodiscover = 8 << 10

// Limits of what is in a request.
const (
	maxDepth    = 8
	maxElements = 32
	maxText     = 512 // octets of one element
)

// outlookSchema is the kind of answer that there is: settings of mail accounts
// ([MS-OXDSCLI] §2.2.3.1.1.3).
const outlookSchema = "://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

// autodiscoverRequest is what a client wants.
type autodiscoverRequest struct{ address, schema string }

// parseAutodiscover reads a request of POX ([MS-OXDSCLI] §2.2.3). It takes elements by
// their name, the first of each, whatever their namespace is. Errors: Invalid.
func parseAutodiscover(text []byte) (autodiscoverRequest, error) {
	wrong := mail.Errorf(mail.Invalid, "the request is not one of Autodiscover")
	d := xml.NewDecoder(bytes.NewReader(text)) // Strict; it knows no entities but those of XML.
	found := map[string]string{}
	var open []string
	for elements := 0; ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return autodiscoverRequest{}, wrong
		}
		switch token := token.(type) {
		case xml.Directive: // No document types.
			return autodiscoverRequest{}, wrong
		case xml.StartElement:
			open = append(open, token.Name.Local)
			if elements++; elements > maxElements || len(open) > maxDepth {
				return autodiscoverRequest{}, wrong
			}
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) == 3 && open[0] == "Autodiscover" && open[1] == "Request" {
				if found[open[2]] += string(token); len(found[open[2]]) > maxText {
					return autodiscoverRequest{}, wrong
				}
			}
		}
	}
	r := autodiscoverRequest{strings.TrimSpace(found["EMailAddress"]), strings.TrimSpace(found["AcceptableResponseSchema"])}
	if r.address == "" || r.schema == "" {
		return autodiscoverRequest{}, wrong
	}
	return r, nil
}

// autodiscover is an answer of POX ([MS-OXDSCLI] §2.2.4).
type autodiscover struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
	Response any
}

// outlookResponse is one with settings.
type outlookResponse struct {
	XMLName xml.Name       `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
	Account outlookAccount `xml:"Account"`
}

type outlookAccount struct {
	Type      string            `xml:"AccountType"`
	Action    string            `xml:"Action"`
	Protocols []outlookProtocol `xml:"Protocol"`
}

type outlookProtocol struct {
	Type           string `xml:"Type"`
	Server         string `xml:"Server"`
	Port           uint16 `xml:"Port"`
	LoginName      string `xml:"LoginName,omitempty"`
	DomainRequired string `xml:"DomainRequired"`
	SPA            string `xml:"SPA"`
	SSL            string `xml:"SSL"`
	Encryption     string `xml:"Encryption"`
	AuthRequired   string `xml:"AuthRequired"`
	UsePOPAuth     string `xml:"UsePOPAuth,omitempty"`
	SMTPLast       string `xml:"SMTPLast,omitempty"`
}

// encryptions say more than SSL, and win over it.
var encryptions = [...]string{clients.TLS: "SSL", clients.StartTLS: "TLS"}

// outlook is the answer with settings: the best service of each protocol, as Outlook takes
// the first it finds.
func outlook(s clients.Settings, login string) ([]byte, error) {
	account := outlookAccount{Type: "email", Action: "settings"}
	for _, p := range []struct {
		protocol clients.Protocol
		name     string
	}{{clients.IMAP, "IMAP"}, {clients.POP3, "POP3"}, {clients.Submission, "SMTP"}} {
		best, ok := s.Best(p.protocol)
		if !ok {
			continue
		}
		o := outlookProtocol{Type: p.name, Server: string(best.Host), Port: best.Port, LoginName: login, DomainRequired: "off",
			SPA: "off", SSL: "on", Encryption: encryptions[best.Security], AuthRequired: "on"}
		if p.protocol == clients.Submission {
			o.UsePOPAuth, o.SMTPLast = "on", "off"
		}
		account.Protocols = append(account.Protocols, o)
	}
	return document(autodiscover{Response: outlookResponse{Account: account}})
}

// outlookFailure is an answer without.
type outlookFailure struct {
	XMLName xml.Name     `xml:"Response"`
	Error   outlookError `xml:"Error"`
}

type outlookError struct {
	Time  string   `xml:"Time,attr"`
	ID    uint32   `xml:"Id,attr"` // of who says it
	Code  int      `xml:"ErrorCode"`
	Text  string   `xml:"Message"`
	Debug struct{} `xml:"DebugData"`
}

// Error codes ([MS-OXDSCLI] §2.2.4.1.1.3.1).
const (
	codeNotFound  = 500
	codeInvalid   = 600
	codeOtherKind = 601 // there is no answer of the kind that is wanted
	codeInternal  = 603
)

// errOtherKind is that somebody wants an answer of another kind: of ActiveSync, mostly.
var errOtherKind = mail.Errorf(mail.Invalid, "there are settings of mail accounts only, by IMAP, POP3 and SMTP")

func errorCode(err error) int {
	switch {
	case err == errOtherKind:
		return codeOtherKind
	case mail.KindOf(err) == mail.Invalid, mail.KindOf(err) == mail.TooLarge:
		return codeInvalid
	case mail.KindOf(err) == mail.NotFound:
		return codeNotFound
	}
	return codeInternal
}

// failure is the answer for an error.
func (h *Handlers) failure(err error) ([]byte, error) {
	id := fnv.New32a()
	_, _ = io.WriteString(id, string(h.c.Hostname))
	code, text := errorCode(err), err.Error()
	if code == codeInternal {
		text = "try again later"
	}
	return document(autodiscover{Response: outlookFailure{Error: outlookError{
		Time: h.c.Now().UTC().Format("15:04:05.0000000"), ID: id.Sum32(), Code: code, Text: text,
	}}})
}

// wanted is what a request of Autodiscover asks for; a GET is for the domain of the host.
func (h *Handlers) wanted(r *http.Request) (question, error) {
	if r.Method != http.MethodPost {
		q, err := h.asked(r)
		if err == nil && q.domain == "" {
			err = mail.Errorf(mail.Invalid, "ask with POST, or at %sDOMAIN", AutodiscoverHost)
		}
		return q, err
	}
	text, err := body(r)
	if err != nil {
		return question{}, err
	}
	request, err := parseAutodiscover(text)
	if err != nil {
		return question{}, err
	}
	if s := strings.ToLower(request.schema); s != "http"+outlookSchema && s != "https"+outlookSchema {
		return question{}, errOtherKind
	}
	return about(request.address)
}

// Autodiscover answers Outlook and others at AutodiscoverPath. Failures are answers of
// status 200, as clients expect them.
func (h *Handlers) Autodiscover(w http.ResponseWriter, r *http.Request) {
	q, err := h.wanted(r)
	var s clients.Settings
	if err == nil {
		s, err = h.settings(r.Context(), q)
	}
	var text []byte
	if err == nil {
		login := ""
		if !q.address.IsZero() {
			login = q.address.String()
		}
		text, err = outlook(s, login)
	} else {
		text, err = h.failure(err)
	}
	if err != nil {
		fail(w, fmt.Errorf("autodiscover: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/xml; charset=utf-8")
	_, _ = w.Write(text)
}
