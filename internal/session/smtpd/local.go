package smtpd

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/proto/smtp"
	"yubin/internal/world/netx"
)

// User is a user of this machine who speaks to us over a socket of its own. It has not
// logged in: the system says who it is.
type User struct {
	ID    uint32
	Login string // as the system calls it
	// Principal is who it is here: Address is what it writes from if it says nothing
	// else, Account is zero if no account is its own.
	Principal mail.Principal
	Domain    mail.Domain // of names that have none
	Trusted   bool        // it may write as anybody
}

// Users knows the users of this machine.
type Users interface {
	// User says who is at the other end of a connection. Errors are for the client.
	User(ctx context.Context, c *netx.Conn) (User, error)
	// MayUse says whether a user who is not trusted may write from an address.
	MayUse(ctx context.Context, u User, a mail.Address) (bool, error)
	// Take counts a message of a user; RateLimited if there were too many.
	Take(u User) error
}

// enter finds out who a user of this machine is.
func (c *conn) enter(ctx context.Context) {
	if c.s.client.Profile != Local {
		return
	}
	u, err := c.s.srv.cfg.Users.User(ctx, c.Conn)
	if err != nil {
		r := replyTo(err)
		c.s.reject(r, nil, err)
		c.write(smtp.Reply{Code: 421, Enhanced: mail.Enhanced{Class: 4, Subject: 7}, Text: r.Text})
		return
	}
	c.s.user = u
	c.s.client.Authenticated, c.s.client.Principal = true, u.Principal
}

// submits reports whether mail of our own people comes here.
func (s *session) submits() bool {
	return s.client.Profile == Submission || s.client.Profile == Local
}

// whoami tells a user who it is: sendmail writes that into a From field.
func (s *session) whoami() string { return s.user.Principal.Address.String() }

// calls is what the client calls itself; on Local it is what the system calls it.
func (s *session) calls() string {
	if s.client.Profile == Local {
		return "userid " + strconv.FormatUint(uint64(s.user.ID), 10) + ", " + s.user.Login
	}
	return s.client.Hello
}

// notAs refuses to let a client write as somebody else, whom where tells of.
func (s *session) notAs(a mail.Address, where string) smtp.Reply {
	text := "you may not send as " + a.String() + where
	if s.client.Profile == Local {
		text += "; on this machine you are " + s.user.Principal.Address.String() + ", and [sendmail] in the configuration can allow more"
	}
	return status(550, 5, 7, 1, text)
}

// called is the address that a name without a domain stands for.
func (s *session) called(name string) mail.Address {
	if name == s.user.Login {
		return s.user.Principal.Address
	}
	return mail.Address{Local: name, Domain: s.user.Domain}
}

// author is called for a name in a field that says who writes. Quirk: cron writes "From:
// root" into everybody's mail, so a name alone that is not the user's own means the user.
func (s *session) author(name string) mail.Address {
	if s.user.Trusted {
		return s.called(name)
	}
	return s.user.Principal.Address
}

// completed is a MAIL or RCPT whose path is a name alone, with its domain.
func (s *session) completed(line []byte) []byte {
	if s.client.Profile != Local {
		return line
	}
	full := s.called
	switch {
	case hasPrefixFold(line, "MAIL FROM:"):
	case hasPrefixFold(line, "RCPT TO:"):
		full = func(name string) mail.Address { return mail.Address{Local: name, Domain: s.user.Domain} }
	default:
		return line
	}
	start, end := bytes.IndexByte(line, '<')+1, bytes.IndexByte(line, '>')
	if start == 0 || end <= start || bytes.ContainsAny(line[start:end], "@\" \t") || strings.EqualFold(string(line[start:end]), "postmaster") {
		return line
	}
	out := append([]byte(nil), line[:start]...)
	out = append(out, full(string(line[start:end])).String()...)
	return append(out, line[end:]...)
}

func hasPrefixFold(line []byte, prefix string) bool {
	return len(line) >= len(prefix) && strings.EqualFold(string(line[:len(prefix)]), prefix)
}

// completedHeader is a header in whose address fields no name is without a domain.
func (s *session) completedHeader(header []byte) []byte {
	if s.client.Profile != Local {
		return header
	}
	var out []byte
	last, next := 0, 0
	for f := range message.Fields(header) {
		at := next + bytes.Index(header[next:], f.Raw)
		next = at + len(f.Raw)
		full := func(name string) string { return s.called(name).String() }
		switch strings.ToLower(f.Name) {
		case "from", "sender", "resent-from", "resent-sender":
			full = func(name string) string { return s.author(name).String() }
		case "reply-to", "to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc":
		default:
			continue
		}
		colon := bytes.IndexByte(f.Raw, ':') + 1
		value := message.CompleteAddresses(f.Raw[colon:], full)
		if len(value) > 0 && &value[0] == &f.Raw[colon] {
			continue
		}
		out = append(append(out, header[last:at]...), f.Raw[:colon]...)
		out = append(append(append(out, ' '), bytes.TrimLeft(value, " \t")...), "\r\n"...)
		last = next
	}
	if last == 0 {
		return header
	}
	return append(out, header[last:]...)
}

// appendLocal appends the Received field of what a user of this machine brought. What it
// calls itself says nothing; the system's number for it does.
func appendLocal(dst []byte, s stamp, u User) []byte {
	f := folder{dst: append(dst, "Received:"...), width: len("Received:")}
	f.words("by", string(s.by), "(from userid "+strconv.FormatUint(uint64(u.ID), 10)+")", "with", "local")
	f.fold()
	f.words("id", s.id)
	if !s.to.IsZero() {
		f.words("for", "<"+s.to.String()+">")
	}
	f.dst = append(f.dst, ';')
	f.fold()
	f.words(s.at.Format(dateLayout))
	return append(f.dst, "\r\n"...)
}
