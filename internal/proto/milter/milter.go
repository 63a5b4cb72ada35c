// Package milter is the language in which a mail server asks filters: version 6 of the
// protocol of Sendmail, for which there is no RFC; libmilter's mfapi and mfdef
// describe it. This is the server's side: it writes commands and reads replies.
//
// Everything is a packet: four octets of length (the first is the highest), a letter,
// data. Strings in data end with NUL.
//
//	Options   what both can do; the filter answers with what it wants
//	commands  connect, helo, mail, rcpt, data, header, end of header, body, end
//	macros    words about the step that follows: "i" is the queue's name of the message
//	replies   what to do now; at the end also changes, before the last one
//
// It is pure: no socket, no clock. What a filter sends is bounded by MaxReply.
package milter

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// Version is that which we speak; filters down to OldestVersion are understood.
const (
	Version       = 6
	OldestVersion = 2
)

// Limits, in octets.
const (
	MaxReply = 1<<20 + 64 // a packet of a filter: a piece of a body is the largest
	MaxChunk = 65535      // a piece of body that we send
	MaxText  = 64 << 10   // a string that we send; longer ones are cut
)

// Action is something a filter may ask for at the end (SMFIF).
type Action uint32

// The actions.
const (
	AddHeaders        Action = 1 << iota // also to insert
	ChangeBody                           //
	AddRecipient                         //
	DeleteRecipient                      //
	ChangeHeaders                        //
	Quarantine                           //
	ChangeFrom                           //
	AddRecipientParam                    // with parameters of ESMTP
	SetMacros                            // says which macros it wants; we send what we have
)

// Actions are all that we can do.
const Actions = AddHeaders | ChangeBody | AddRecipient | DeleteRecipient | ChangeHeaders | Quarantine | ChangeFrom | AddRecipientParam | SetMacros

// Protocol is how the conversation goes (SMFIP).
type Protocol uint32

// What a filter does not want to hear, does not reply to, and what else can be agreed.
const (
	NoConnect       Protocol = 0x1
	NoHelo          Protocol = 0x2
	NoMail          Protocol = 0x4
	NoRcpt          Protocol = 0x8
	NoBody          Protocol = 0x10
	NoHeaders       Protocol = 0x20
	NoEndOfHeader   Protocol = 0x40
	NoReplyHeader   Protocol = 0x80
	NoUnknown       Protocol = 0x100
	NoData          Protocol = 0x200
	CanSkip         Protocol = 0x400 // replies Skip to a piece of body: no more of them
	NoReplyConnect  Protocol = 0x1000
	NoReplyHelo     Protocol = 0x2000
	NoReplyMail     Protocol = 0x4000
	NoReplyRcpt     Protocol = 0x8000
	NoReplyData     Protocol = 0x10000
	NoReplyUnknown  Protocol = 0x20000
	NoReplyEOH      Protocol = 0x40000
	NoReplyBody     Protocol = 0x80000
	HeaderLeadSpace Protocol = 0x100000 // values of fields come and go with the space after the colon
)

// Protocols are all that we offer. Recipients that were refused (SMFIP_RCPT_REJ) are
// not told, and pieces of body have the usual size.
const Protocols = NoConnect | NoHelo | NoMail | NoRcpt | NoBody | NoHeaders | NoEndOfHeader | NoReplyHeader | NoUnknown | NoData |
	CanSkip | NoReplyConnect | NoReplyHelo | NoReplyMail | NoReplyRcpt | NoReplyData | NoReplyUnknown | NoReplyEOH | NoReplyBody | HeaderLeadSpace

// Options is what one side can do or wants.
type Options struct {
	Version  uint32
	Actions  Action
	Protocol Protocol
}

// Command is the letter of a packet of ours (SMFIC).
type Command byte

// The commands.
const (
	Abort       Command = 'A' // of a message
	Body        Command = 'B'
	Connect     Command = 'C'
	Macros      Command = 'D'
	EndOfBody   Command = 'E'
	Helo        Command = 'H'
	Header      Command = 'L'
	Mail        Command = 'M'
	EndOfHeader Command = 'N'
	Negotiate   Command = 'O'
	Quit        Command = 'Q'
	Rcpt        Command = 'R'
	Data        Command = 'T'
)

// begin and end make a packet around data.
func begin(dst []byte, c Command) ([]byte, int) {
	return append(dst, 0, 0, 0, 0, byte(c)), len(dst)
}

func end(dst []byte, at int) []byte {
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// AppendOptions writes our side of the negotiation.
func AppendOptions(dst []byte, o Options) []byte {
	dst, at := begin(dst, Negotiate)
	dst = binary.BigEndian.AppendUint32(dst, o.Version)
	dst = binary.BigEndian.AppendUint32(dst, uint32(o.Actions))
	return end(binary.BigEndian.AppendUint32(dst, uint32(o.Protocol)), at)
}

// AppendStrings writes a command whose data are strings: Helo, Header, Mail and Rcpt
// with their parameters, and those without data. NUL in a string is left out.
func AppendStrings(dst []byte, c Command, all ...string) []byte {
	dst, at := begin(dst, c)
	for _, s := range all {
		dst = appendString(dst, s)
	}
	return end(dst, at)
}

// AppendMacros writes macros, pairs of name and value, for the command that follows.
func AppendMacros(dst []byte, next Command, pairs ...string) []byte {
	dst, at := begin(dst, Macros)
	dst = append(dst, byte(next))
	for _, s := range pairs {
		dst = appendString(dst, s)
	}
	return end(dst, at)
}

// AppendConnect writes who the client is. An address that is not valid is unknown.
func AppendConnect(dst []byte, name string, client Address) []byte {
	dst, at := begin(dst, Connect)
	dst = append(appendString(dst, name), client.family())
	if client.IP.IsValid() {
		dst = binary.BigEndian.AppendUint16(dst, client.Port)
		dst = appendString(dst, client.IP.String())
	}
	return end(dst, at)
}

// AppendBody writes a piece of a body, MaxChunk octets at most.
func AppendBody(dst, piece []byte) []byte {
	dst, at := begin(dst, Body)
	return end(append(dst, piece...), at)
}

func appendString(dst []byte, s string) []byte {
	s = s[:min(len(s), MaxText)]
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return append(append(dst, s...), 0)
}

// Kind is the letter of a packet of a filter (SMFIR).
type Kind byte

// The replies that end a step.
const (
	Accept    Kind = 'a' // the message is fine, ask no more
	Continue  Kind = 'c'
	Discard   Kind = 'd' // take it and throw it away
	ConnFail  Kind = 'f' // treated as TempFail
	Reject    Kind = 'r'
	Skip      Kind = 's' // no more body
	TempFail  Kind = 't'
	Shutdown  Kind = '4' // 421
	ReplyCode Kind = 'y' // Reject or TempFail, with the words
	Optioned  Kind = 'O' // the answer to Negotiate
)

// The replies that do not: more time, and the changes.
const (
	Progress    Kind = 'p'
	AddRcpt     Kind = '+'
	AddRcptWith Kind = '2' // with parameters
	DelRcpt     Kind = '-'
	NewBody     Kind = 'b' // a piece
	NewFrom     Kind = 'e'
	AddHeader   Kind = 'h'
	InsHeader   Kind = 'i'
	ChgHeader   Kind = 'm'
	Quarantined Kind = 'q'
)

// Reply is what a filter says.
type Reply struct {
	Kind    Kind
	Options Options // Optioned
	// Code, Enhanced and Text are those of ReplyCode. Text is printable, on one line.
	Code     int
	Enhanced mail.Enhanced
	Text     string // also the reason of Quarantined
	Name     string // AddHeader, InsHeader, ChgHeader
	Value    string // the same; the address of AddRcpt, DelRcpt and NewFrom
	Params   string // AddRcptWith, NewFrom
	Index    uint32 // InsHeader, ChgHeader
	Body     []byte // NewBody: a slice of the packet
}

// Final reports whether a step is over with r.
func (r Reply) Final() bool { return strings.IndexByte("acdfrst4yO", byte(r.Kind)) >= 0 }

// ParseReply reads a packet without its length. The error is of kind mail.Invalid.
func ParseReply(packet []byte) (Reply, error) {
	if len(packet) == 0 || len(packet) > MaxReply {
		return Reply{}, mail.Errorf(mail.Invalid, "a packet of %d octets", len(packet))
	}
	r, data := Reply{Kind: Kind(packet[0])}, reader{s: packet[1:]}
	switch r.Kind {
	case Accept, Continue, Discard, ConnFail, Reject, Skip, TempFail, Shutdown, Progress:
	case Optioned:
		r.Options = Options{data.number(), Action(data.number()), Protocol(data.number())}
	case ReplyCode:
		if err := r.words(data.string()); err != nil {
			return Reply{}, err
		}
	case AddRcpt, DelRcpt:
		r.Value = data.string()
	case AddRcptWith, NewFrom:
		r.Value = data.string()
		if len(data.s) > 0 {
			r.Params = data.string()
		}
	case NewBody:
		r.Body = data.s
	case AddHeader:
		r.Name, r.Value = data.string(), data.string()
	case InsHeader, ChgHeader:
		r.Index, r.Name, r.Value = data.number(), data.string(), data.string()
	case Quarantined:
		r.Text = printable(data.string())
	default:
		return Reply{}, mail.Errorf(mail.Invalid, "a reply %q that there is not", packet[0])
	}
	if data.bad {
		return Reply{}, mail.Errorf(mail.Invalid, "a reply %q that is cut off", packet[0])
	}
	return r, nil
}

// words reads "550 5.7.1 text", of which lines may follow in the form of SMTP.
func (r *Reply) words(s string) error {
	for i, line := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
		code, err := strconv.Atoi(line[:min(3, len(line))])
		if err != nil || code < 400 || code > 599 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return mail.Errorf(mail.Invalid, "a reply that is none of SMTP: %.80q", s)
		}
		text := ""
		if len(line) > 4 {
			text = line[4:]
		}
		enhanced, rest, ok := mail.CutEnhanced(text)
		if ok && (rest == "" || rest[0] == ' ') {
			text = strings.TrimLeft(rest, " ")
		}
		if i == 0 {
			r.Code = code
			if ok && int(enhanced.Class) == code/100 {
				r.Enhanced = enhanced
			}
			r.Text = text
		} else if text != "" {
			r.Text += " " + text
		}
	}
	r.Text = printable(strings.ReplaceAll(r.Text, "%%", "%")) // libmilter doubles them
	return nil
}

// maxWords is how many octets of a filter's words are kept.
const maxWords = 400

// printable is s on one line of ASCII, cut to maxWords.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), maxWords)])
}

// reader reads data; bad says that there was less than there should be.
type reader struct {
	s   []byte
	bad bool
}

func (r *reader) number() uint32 {
	if len(r.s) < 4 {
		r.s, r.bad = nil, true
		return 0
	}
	n := binary.BigEndian.Uint32(r.s)
	r.s = r.s[4:]
	return n
}

func (r *reader) string() string {
	i := bytes.IndexByte(r.s, 0)
	if i < 0 {
		r.s, r.bad = nil, true
		return ""
	}
	s := string(r.s[:i])
	r.s = r.s[i+1:]
	return s
}
