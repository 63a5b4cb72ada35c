// Package obs is what an operator sees of yubin: the log, its fixed keys, and
// the word to systemd that the process is ready, reloads or stops.
//
// One log line per event (session end, login, accepted, attempt, rejection),
// always with the same keys. Secrets never reach the log: no passwords, no SASL
// exchanges, no message content; callers do not pass them, and a Secret prints
// as stars if one does.
//
// What strangers cause to be told is bounded by network and for all of them; see
// Strangers.
package obs

import "log/slog"

// The keys of log attributes. A key means the same in every line.
const (
	KeyProto   = "proto"   // smtp, lmtp, submission, imap, pop3, http
	KeyListen  = "listen"  // name of the listener
	KeyLocal   = "local"   // our address and port
	KeyRemote  = "remote"  // the peer's address and port
	KeyNetwork = "network" // what its failed logins are counted by; see LoginNetwork
	KeySession = "session" // identifier of a session, the same in all its lines
	KeyTLS     = "tls"     // version of TLS, or "" without it
	KeyUser    = "user"    // address that logged in or tried to
	KeyMech    = "mech"    // SASL mechanism, or the command that logged in
	KeyAccount = "account" // number of an account
	KeyMailbox = "mailbox"
	KeyItem    = "item" // number of a spooled message
	KeyFrom    = "from" // reverse-path
	KeyTo      = "to"   // recipient
	KeyMsgID   = "msgid"
	KeySize    = "size"   // octets
	KeyCount   = "count"  // how many of what the line is about
	KeyStatus  = "status" // reply code or outcome
	KeyCommand = "command"
	KeyReason  = "reason" // why something ended or was refused, in a word or two
	KeyTook    = "took"   // duration
	KeyIn      = "in"     // octets received
	KeyOut     = "out"    // octets sent
	KeyFile    = "file"
	KeyMount   = "mount" // what of the web listener a request was for
	KeyHost    = "host"  // that it named
	KeyPath    = "path"  // that it asked for
	KeyErr     = "err"
)

// Err is the attribute of an error.
func Err(err error) slog.Attr { return slog.Any(KeyErr, err) }

// Secret is a string that must not be shown; it logs and prints as stars.
type Secret string

// String returns stars.
func (Secret) String() string { return "***" }

// GoString returns stars.
func (Secret) GoString() string { return "***" }

// LogValue returns stars.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }
