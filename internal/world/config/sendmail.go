package config

import (
	"maps"
	"slices"
	"strings"

	"yubin/internal/mail"
)

func (t *table) sendmail(m *Sendmail) {
	enabled := true
	t.boolean("enabled", &enabled)
	m.Off = !enabled
	_, m.Named = t.values["socket"]
	t.text("socket", &m.Socket)
	if len(m.Socket) > maxSendmailSocket {
		t.fault("socket", "must be a path of at most %d octets", maxSendmailSocket)
	}
	t.domain("domain", &m.Domain)
	if _, there := t.values["trusted"]; there {
		m.Trusted = t.texts("trusted", maxTrusted)
	}
	t.count("rate", &m.Rate, 0, maxSendmailRate)
	t.table("users", func(t *table) { m.Users = t.users() })
}

// users reads who may write from which addresses.
func (t *table) users() map[string][]string {
	users := make(map[string][]string, len(t.values))
	if len(t.values) > maxSendmailUsers {
		t.faults.add(t.line(""), "users must have at most %d entries", maxSendmailUsers)
		clear(t.values)
		return nil
	}
	for _, user := range slices.Sorted(maps.Keys(t.values)) {
		var list []string
		if one, ok := t.values[user].(string); ok {
			take[string](t, user, "")
			list = []string{one}
		} else {
			list = t.texts(user, maxUserAddresses)
		}
		if len(list) == 0 {
			t.fault(user, `must be an address or a list of them, like "shop@example.org" or ["shop@example.org", "*@shop.example.org"]`)
		}
		for i, a := range list {
			if d, all := strings.CutPrefix(a, "*@"); all && i > 0 {
				a = "x@" + d
			}
			if _, err := mail.ParseAddress(a); err != nil {
				t.fault(user, `must be addresses like "shop@example.org", the first one whole and others "*@shop.example.org" for a domain, not %q`, list[i])
				break
			}
		}
		users[user] = list
	}
	return users
}

// SendmailListener is where the users of this machine come.
func (c *Config) SendmailListener() Listener {
	return Listener{Protocol: SMTP, Profile: ProfileLocal, Address: c.Sendmail.Socket, TLS: TLSNone}
}
