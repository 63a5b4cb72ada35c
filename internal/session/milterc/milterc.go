// Package milterc is the mail server's side of one conversation with a milter: it
// asks a filter about one message in the protocol of Sendmail (proto/milter, version 6), and
// understands all that a filter may reply and change.
//
// Each message has a connection of its own: a filter sees one client, one HELO and one
// transaction, and QUIT after it. What a filter does not want to hear it is not told, and
// where it does not reply nobody waits (negotiation, SMFIP). Recipients that somebody
// else refused are not told. Macros are sent with each step, whichever it asks for
// (SMFIR_SETSYMLIST is read and passed over): j, _, {client_addr}, {client_name},
// {client_port}, {daemon_name}; {tls_version}, {cipher}; i, {mail_addr}, {mail_host},
// {auth_type}, {auth_authen}; {rcpt_addr}, {rcpt_host}.
//
// A wait for a reply is bounded by Config.Answer, anew after each sign that the
// filter is at work (SMFIR_PROGRESS), and all of it by the context.
package milterc

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"time"

	"yubin/internal/engine/filter"
	"yubin/internal/mail"
	"yubin/internal/proto/milter"
	"yubin/internal/world/netx"
)

// DefaultAnswer bounds the wait for one reply.
const DefaultAnswer = 10 * time.Second

// Config of a Filter.
type Config struct {
	// Dial connects to the filter: a connection of netx.NewOutgoing.
	Dial   func(ctx context.Context) (*netx.Conn, error)
	Answer time.Duration // 0 means DefaultAnswer
}

// Filter is a milter. Safe for concurrent use.
type Filter struct{ cfg Config }

// New returns the filter. It connects to nobody.
func New(cfg Config) *Filter {
	if cfg.Answer == 0 {
		cfg.Answer = DefaultAnswer
	}
	return &Filter{cfg}
}

// Watches is false: a milter may change what it sees.
func (*Filter) Watches() bool { return false }

// Open connects and tells who brings a message and whose it is.
func (f *Filter) Open(ctx context.Context, c filter.Connection, from filter.Sender) (filter.Conversation, filter.Answer, error) {
	conn, err := f.cfg.Dial(ctx)
	if err != nil {
		return nil, filter.Answer{}, err
	}
	t := &talk{conn: conn, answer: f.cfg.Answer, id: c.ID}
	a, err := t.open(ctx, c, from)
	if err != nil {
		t.Close()
		return nil, a, err
	}
	return t, a, nil
}

// talk is one conversation.
type talk struct {
	conn    *netx.Conn
	answer  time.Duration
	id      string
	actions milter.Action   // that the filter may take
	without milter.Protocol // what was agreed on
	out     []byte          // reused
	in      []byte          // reused
	broken  bool
}

// begin makes ctx end the conversation until end is called.
func (t *talk) begin(ctx context.Context) (end func()) {
	stop := context.AfterFunc(ctx, t.conn.Abort)
	return func() { t.broken = !stop() || t.broken }
}

// Close says goodbye and closes the connection.
func (t *talk) Close() {
	if !t.broken {
		t.conn.Bound(time.Now().Add(time.Second))
		_, _ = t.conn.Write(milter.AppendStrings(nil, milter.Quit))
		_ = t.conn.Flush()
	}
	_ = t.conn.Close()
}

// open is all that comes before the first recipient.
func (t *talk) open(ctx context.Context, c filter.Connection, from filter.Sender) (a filter.Answer, err error) {
	defer t.begin(ctx)()
	if err := t.negotiate(); err != nil {
		return a, err
	}
	client, shown := milter.AddressOf(c.Client), "unknown"
	if client.IP.IsValid() {
		shown = client.IP.String()
	}
	name := cmp.Or(c.Name, "["+shown+"]")
	t.macros(milter.Connect, "j", string(c.Hostname), "_", name+" ["+shown+"]", "{client_addr}", shown, "{client_name}", name,
		"{client_port}", number(client.Port), "{daemon_name}", string(c.Hostname))
	t.out = milter.AppendConnect(t.out, name, client)
	if a, err = t.step(milter.NoConnect, milter.NoReplyConnect); err != nil || a.Do != filter.Continue {
		return a, err
	}
	if c.TLS != "" {
		t.macros(milter.Helo, "{tls_version}", c.TLS, "{cipher}", c.Cipher)
	}
	t.out = milter.AppendStrings(t.out, milter.Helo, c.Hello)
	if a, err = t.step(milter.NoHelo, milter.NoReplyHelo); err != nil || a.Do != filter.Continue {
		return a, err
	}
	pairs := []string{"i", t.id, "{mail_addr}", from.ReversePath.String(), "{mail_host}", string(from.ReversePath.Domain)}
	if c.User != "" {
		pairs = append(pairs, "{auth_type}", "PLAIN", "{auth_authen}", c.User)
	}
	t.macros(milter.Mail, pairs...)
	t.out = milter.AppendStrings(t.out, milter.Mail, append([]string{"<" + from.ReversePath.String() + ">"}, from.Params...)...)
	return t.step(milter.NoMail, milter.NoReplyMail)
}

// negotiate agrees on what is said.
func (t *talk) negotiate() error {
	t.out = milter.AppendOptions(t.out, milter.Options{Version: milter.Version, Actions: milter.Actions, Protocol: milter.Protocols})
	if err := t.flush(); err != nil {
		return err
	}
	r, err := t.read()
	switch o := r.Options; {
	case err != nil:
		return err
	case r.Kind != milter.Optioned:
		return mail.Errorf(mail.Unavailable, "the filter answers the negotiation by %q", r.Kind)
	case o.Version < milter.OldestVersion || o.Version > milter.Version || o.Actions&^milter.Actions != 0 || o.Protocol&^milter.Protocols != 0:
		return mail.Errorf(mail.Unavailable, "the filter wants what it was not offered: version %d, actions %#x, protocol %#x", o.Version, o.Actions, o.Protocol)
	default:
		t.actions, t.without = o.Actions, o.Protocol
		return nil
	}
}

// macros are those of the command that follows.
func (t *talk) macros(next milter.Command, pairs ...string) {
	t.out = milter.AppendMacros(t.out, next, pairs...)
}

// step sends what is in t.out, unless the filter does not want to hear it, and waits
// for a reply, unless it gives none.
func (t *talk) step(unwanted, silent milter.Protocol) (filter.Answer, error) {
	if t.without&unwanted != 0 {
		t.out = t.out[:0]
		return filter.Answer{}, nil
	}
	if t.without&silent != 0 {
		return filter.Answer{}, t.write()
	}
	if err := t.flush(); err != nil {
		return filter.Answer{}, err
	}
	r, err := t.final(nil)
	if err != nil {
		return filter.Answer{}, err
	}
	return answer(r)
}

// final reads replies until one ends the step; others go to change.
func (t *talk) final(change func(milter.Reply) error) (milter.Reply, error) {
	for {
		r, err := t.read()
		switch {
		case err != nil || r.Final():
			return r, err
		case r.Kind == milter.Progress:
		case change == nil:
			t.broken = true
			return r, mail.Errorf(mail.Unavailable, "the filter asks for a change before the end: %q", r.Kind)
		default:
			if err := change(r); err != nil {
				t.broken = true
				return r, err
			}
		}
	}
}

// answer is what a final reply means.
func answer(r milter.Reply) (filter.Answer, error) {
	switch r.Kind {
	case milter.Continue, milter.Skip:
		return filter.Answer{}, nil
	case milter.Accept:
		return filter.Answer{Do: filter.Accept}, nil
	case milter.Discard:
		return filter.Answer{Do: filter.Discard}, nil
	case milter.Reject:
		return filter.Answer{Do: filter.Reject}, nil
	case milter.TempFail, milter.ConnFail, milter.Shutdown:
		return filter.Answer{Do: filter.Defer}, nil
	case milter.ReplyCode:
		a := filter.Answer{Do: filter.Reject, Reply: filter.Reply{Code: r.Code, Enhanced: r.Enhanced, Text: r.Text}}
		if r.Code < 500 {
			a.Do = filter.Defer
		}
		return a, nil
	}
	return filter.Answer{}, mail.Errorf(mail.Unavailable, "the filter answers %q, which is no answer to this", r.Kind)
}

// Rcpt tells of one recipient.
func (t *talk) Rcpt(ctx context.Context, to filter.Recipient) (filter.Answer, error) {
	defer t.begin(ctx)()
	t.macros(milter.Rcpt, "{rcpt_addr}", to.Address.String(), "{rcpt_host}", string(to.Address.Domain))
	t.out = milter.AppendStrings(t.out, milter.Rcpt, append([]string{"<" + to.Address.String() + ">"}, to.Params...)...)
	return t.step(milter.NoRcpt, milter.NoReplyRcpt)
}

// write hands what is in t.out to the connection.
func (t *talk) write() error {
	t.conn.Bound(time.Now().Add(t.answer))
	_, err := t.conn.Write(t.out)
	t.out = t.out[:0]
	t.broken = t.broken || err != nil
	return err
}

func (t *talk) flush() error {
	err := t.write()
	if err == nil {
		err = t.conn.Flush()
	}
	t.broken = t.broken || err != nil
	return err
}

// read reads one packet. Its octets are good until the next.
func (t *talk) read() (milter.Reply, error) {
	t.conn.Bound(time.Now().Add(t.answer))
	r, err := t.packet()
	t.broken = t.broken || err != nil
	return r, err
}

func (t *talk) packet() (milter.Reply, error) {
	var length [4]byte
	if _, err := io.ReadFull(t.conn, length[:]); err != nil {
		return milter.Reply{}, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n == 0 || n > milter.MaxReply {
		return milter.Reply{}, mail.Errorf(mail.Unavailable, "the filter sends a packet of %d octets", n)
	}
	if cap(t.in) < int(n) {
		t.in = make([]byte, n)
	}
	t.in = t.in[:n]
	if _, err := io.ReadFull(t.conn, t.in); err != nil {
		return milter.Reply{}, err
	}
	return milter.ParseReply(t.in)
}
