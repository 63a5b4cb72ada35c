package smtpc

import (
	"time"

	"yubin/internal/proto/smtp"
)

// How long each phase may take, from the last octet of ours to the last of the
// host (RFC 5321 §4.5.3.2).
const (
	GreetingTimeout  = 5 * time.Minute
	HelloTimeout     = 5 * time.Minute
	HandshakeTimeout = time.Minute // also of the reply to STARTTLS
	AuthTimeout      = 2 * time.Minute
	MailTimeout      = 5 * time.Minute // also of RSET
	RcptTimeout      = 5 * time.Minute
	DataTimeout      = 2 * time.Minute
	BlockTimeout     = 3 * time.Minute // of each block of content
	AnswerTimeout    = 10 * time.Minute
	QuitTimeout      = 2 * time.Second
	// EarlyTimeout is how long we look for an answer when the content could not
	// be sent.
	EarlyTimeout = 5 * time.Second
)

// SlowestRate is how many octets of content a second a host must take, beside
// one BlockTimeout: it bounds the whole of a message.
const SlowestRate = 4 << 10

// Sizes in octets.
const (
	// MaxReplyLine is how long a line of a host may be: more than the RFC says,
	// as some write long reasons into one.
	MaxReplyLine = 4096
	// MaxInFlight is how much is sent before the answers are read: it fits into
	// every TCP window, so that neither side waits for the other (RFC 2920 §3.1).
	MaxInFlight = 4096
	// ContentBlock is how much content is read at a time.
	ContentBlock = 32 << 10
	// MaxAuthLine is the longest challenge.
	MaxAuthLine = smtp.MaxAuthLine
)

// MaxIterations bounds the work that a SCRAM server can ask of us.
const MaxIterations = 1_000_000
