package clientconf

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/smallstep/pkcs7"

	"yubin/internal/engine/clients"
	"yubin/internal/mail"
)

// pair is a key of a property list with its value: a string, a number, a truth, dict, or a
// list of dict.
type pair struct {
	key   string
	value any
}

// dict is a dictionary, in the order in which it is written.
type dict []pair

// plist writes d as a property list of XML.
func plist(d dict) []byte {
	b := new(strings.Builder)
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n<plist version=\"1.0\">\n")
	writeDict(b, d, "")
	b.WriteString("</plist>\n")
	return []byte(b.String())
}

func writeDict(b *strings.Builder, d dict, indent string) {
	b.WriteString(indent + "<dict>\n")
	for _, p := range d {
		fmt.Fprintf(b, "%s  <key>%s</key>\n", indent, escaped(p.key))
		switch v := p.value.(type) {
		case string:
			fmt.Fprintf(b, "%s  <string>%s</string>\n", indent, escaped(v))
		case uint16:
			fmt.Fprintf(b, "%s  <integer>%d</integer>\n", indent, v)
		case bool:
			fmt.Fprintf(b, "%s  <%s/>\n", indent, strconv.FormatBool(v))
		case []dict:
			b.WriteString(indent + "  <array>\n")
			for _, one := range v {
				writeDict(b, one, indent+"    ")
			}
			b.WriteString(indent + "  </array>\n")
		}
	}
	b.WriteString(indent + "</dict>\n")
}

func escaped(s string) string {
	b := new(strings.Builder)
	_ = xml.EscapeText(b, []byte(s)) // A Builder takes everything.
	return b.String()
}

// uuid is one that is always the same for the same names (RFC 9562 §5.8): who installs a
// profile again replaces the one that is there.
func uuid(names ...string) string {
	sum := sha256.Sum256([]byte("yubin mail profile\x00" + strings.Join(names, "\x00")))
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	text := strings.ToUpper(hex.EncodeToString(u))
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

// profile is a configuration profile for Mail (Apple's "Device Management": com.apple.mail.managed).
// What is left out, the name of the owner and the passwords, the device asks for. Errors:
// NotFound if one cannot read or send mail here with TLS.
func profile(s clients.Settings, a mail.Address, host mail.Domain) ([]byte, error) {
	imap, reads := s.Best(clients.IMAP)
	smtp, sends := s.Best(clients.Submission)
	if !reads || !sends {
		return nil, mail.Errorf(mail.NotFound, "this server has no IMAP with submission, so there is no profile")
	}
	name, login := string(host), ""
	if s.Domain != "" {
		name = s.Domain.Unicode()
	}
	if !a.IsZero() {
		login = a.String()
	}
	labels := strings.Split(string(host), ".")
	slices.Reverse(labels)
	owner := uuid(string(host), string(s.Domain), a.Key().String())
	identifier := strings.Join(labels, ".") + ".mail." + strings.ToLower(owner)
	account := dict{
		{"PayloadType", "com.apple.mail.managed"},
		{"PayloadVersion", uint16(1)},
		{"PayloadIdentifier", identifier + ".account"},
		{"PayloadUUID", uuid(owner, "account")},
		{"PayloadDisplayName", "Mail of " + name},
		{"EmailAccountType", "EmailTypeIMAP"},
		{"EmailAccountDescription", name},
	}
	account = append(account, known("EmailAddress", login)...)
	account = append(account, incoming(imap, login)...)
	account = append(account, outgoing(smtp, login)...)
	return plist(dict{
		{"PayloadType", "Configuration"},
		{"PayloadVersion", uint16(1)},
		{"PayloadIdentifier", identifier},
		{"PayloadUUID", owner},
		{"PayloadDisplayName", "Mail of " + name},
		{"PayloadDescription", "Sets up Mail for " + cmp.Or(login, "addresses of "+name) + ". It asks for the password, which is not in here."},
		{"PayloadOrganization", name},
		{"PayloadContent", []dict{account}},
	}), nil
}

func incoming(s clients.Service, login string) dict {
	return append(dict{
		{"IncomingMailServerAuthentication", "EmailAuthPassword"},
		{"IncomingMailServerHostName", string(s.Host)},
		{"IncomingMailServerPortNumber", s.Port},
		{"IncomingMailServerUseSSL", true},
	}, known("IncomingMailServerUsername", login)...)
}

func outgoing(s clients.Service, login string) dict {
	return append(dict{
		{"OutgoingMailServerAuthentication", "EmailAuthPassword"},
		{"OutgoingMailServerHostName", string(s.Host)},
		{"OutgoingMailServerPortNumber", s.Port},
		{"OutgoingMailServerUseSSL", true},
		{"OutgoingPasswordSameAsIncomingPassword", true},
	}, known("OutgoingMailServerUsername", login)...)
}

// known is a pair if there is something to say.
func known(key, value string) dict {
	if value == "" {
		return nil
	}
	return dict{{key, value}}
}

// signed is content in a SignedData of cert (RFC 5652 §5), which devices show the signer of.
func signed(content []byte, cert *tls.Certificate) ([]byte, error) {
	data, err := pkcs7.NewSignedData(content)
	if err != nil {
		return nil, err
	}
	data.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	var chain []*x509.Certificate
	for _, der := range cert.Certificate {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, one)
	}
	if err := data.AddSignerChain(chain[0], cert.PrivateKey, chain[1:], pkcs7.SignerInfoConfig{}); err != nil {
		return nil, err
	}
	return data.Finish()
}

// Profile answers at ProfilePath.
func (h *Handlers) Profile(w http.ResponseWriter, r *http.Request) {
	q, err := h.asked(r)
	var s clients.Settings
	if err == nil {
		s, err = h.settings(r.Context(), q)
	}
	var content []byte
	if err == nil {
		content, err = profile(s, q.address, h.c.Hostname)
	}
	var cert *tls.Certificate
	if err == nil {
		cert, err = h.c.Certificate()
	}
	if err == nil {
		content, err = signed(content, cert)
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-apple-aspen-config")
	w.Header().Set("Content-Disposition", `attachment; filename="mail.mobileconfig"`)
	_, _ = w.Write(content)
}
