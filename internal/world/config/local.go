package config

import (
	"log/slog"
	"net"
	"path/filepath"
	"strconv"

	"yubin/internal/mail"
)

// MaxListenOffset keeps every port of Local valid.
const MaxListenOffset = 60_000

// What `yubin localserve` starts with.
const (
	LocalDomain   mail.Domain = "yubin.test"
	LocalPassword string      = "yubin-local"
	LocalData     string      = "local-data"
)

// LocalCapture is the local part of the account that gets mail for elsewhere.
const LocalCapture = "captured"

// LocalAccounts are the local parts of the accounts that Local begins with.
func LocalAccounts() []string { return []string{"alice", "bob", "carol"} }

// Local is a configuration for trying and testing: everything on 127.0.0.1,
// ports over 1024 that offset shifts, a certificate of its own making, and
// nothing to set up.
func Local(data string, offset int) Config {
	c := Default()
	c.Hostname = "localhost"
	c.Postmaster = mail.Address{Local: LocalAccounts()[0], Domain: LocalDomain}
	c.Data = data
	c.Open = true
	c.Reports.Send, c.Watch.Mail = false, false
	c.Bans.Off, c.Sending.Off = true, true
	c.Capture = mail.Address{Local: LocalCapture, Domain: LocalDomain}
	c.Admin.Address = localPort(2590, offset)
	c.Sendmail.Socket = filepath.Join(data, SendmailName)
	c.TLS.SelfSigned = true
	c.Log.Level = slog.LevelInfo
	c.Limits.ConnectionsPerAddress, c.Limits.SessionsPerAccount = 0, 0
	c.Listeners = []Listener{
		{Protocol: SMTP, Profile: ProfileMX, Address: localPort(2525, offset), TLS: TLSStart},
		{Protocol: SMTP, Profile: ProfileSubmission, Address: localPort(2587, offset), TLS: TLSStart},
		{Protocol: SMTP, Profile: ProfileSubmission, Address: localPort(2465, offset), TLS: TLSImplicit},
		{Protocol: SMTP, Profile: ProfileLMTP, Address: localPort(2424, offset), TLS: TLSNone},
		{Protocol: IMAP, Address: localPort(2143, offset), TLS: TLSStart},
		{Protocol: IMAP, Address: localPort(2993, offset), TLS: TLSImplicit},
		{Protocol: HTTP, Address: localPort(2443, offset), TLS: TLSImplicit},
		{Protocol: HTTP, Address: localPort(2080, offset), TLS: TLSNone},
		{Protocol: POP3, Address: localPort(2110, offset), TLS: TLSStart},
		{Protocol: POP3, Address: localPort(2995, offset), TLS: TLSImplicit},
	}
	return c
}

func localPort(port, offset int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+offset))
}
