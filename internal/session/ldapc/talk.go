package ldapc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"yubin/internal/mail"
	"yubin/internal/proto/ldap"
	"yubin/internal/world/netx"
)

// talk is a connection to a server. One question at a time.
type talk struct {
	c      *Client
	conn   *netx.Conn
	id     int    // of the last request
	as     string // who we are; "" is nobody
	known  bool   // we are it; else it is not known
	read   int    // octets of answers to the question
	in     []byte // reused
	used   time.Time
	broken bool
}

// nobody is who we are after a bind that was refused, and at first.
const nobody = ""

// open connects to a server, and speaks TLS if that is wanted. The error is a fault.
func (c *Client) open(ctx context.Context, at int) (*talk, error) {
	s := c.cfg.Servers[at]
	conn, err := c.cfg.Dial(ctx, s)
	if err != nil {
		return nil, &fault{why: why(inTime(ctx, err))}
	}
	t := &talk{c: c, conn: conn, known: true}
	err = t.run(ctx, func(t *talk) error {
		if s.Security == Plain {
			return nil
		}
		if s.Security == StartTLS {
			if err := t.startTLS(); err != nil {
				return err
			}
		}
		return t.handshake(ctx, s.Host)
	})
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *talk) startTLS() error {
	r, err := t.request(ldap.ExtendedResponse, func(id int) []byte { return ldap.AppendStartTLS(nil, id) })
	if err == nil && r.Code != ldap.Success {
		err = &fault{why: "it does not speak TLS: " + saying(r)}
	}
	return err
}

func (t *talk) handshake(ctx context.Context, host string) error {
	roots, err := t.c.cfg.Roots()
	if err != nil {
		return &fault{why: err.Error()}
	}
	if err := t.conn.HandshakeClient(ctx, &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS12}); err != nil {
		return &fault{why: why(inTime(ctx, err))}
	}
	return nil
}

// run has a question asked within ctx.
func (t *talk) run(ctx context.Context, question func(*talk) error) error {
	until, _ := ctx.Deadline()
	t.conn.Bound(until)
	t.read = 0
	stop := context.AfterFunc(ctx, t.conn.Abort)
	err := question(t)
	if !stop() {
		t.broken = true
	}
	if isFault(err) {
		t.broken = true
		if ctx.Err() != nil {
			err = &fault{why: why(os.ErrDeadlineExceeded)}
		}
	}
	return err
}

// close says goodbye, if anybody listens.
func (t *talk) close() {
	if !t.broken {
		t.conn.Bound(time.Now().Add(time.Second))
		_, _ = t.conn.Write(ldap.AppendUnbind(nil, t.id+1))
		_ = t.conn.Flush()
	}
	_ = t.conn.Close()
}

// request sends a request and returns its one answer. The error is a fault.
func (t *talk) request(want ldap.Op, message func(id int) []byte) (ldap.Response, error) {
	if err := t.send(message); err != nil {
		return ldap.Response{}, err
	}
	r, err := t.answer()
	if err == nil && r.Op != want {
		err = &fault{why: "it answers another question than it was asked"}
	}
	return r, err
}

func (t *talk) send(message func(id int) []byte) error {
	t.id++
	if _, err := t.conn.Write(message(t.id)); err != nil {
		return &fault{why: why(err)}
	}
	if err := t.conn.Flush(); err != nil {
		return &fault{why: why(err)}
	}
	return nil
}

// answer reads a message about the last request. The error is a fault.
func (t *talk) answer() (ldap.Response, error) {
	for {
		r, err := t.message()
		switch {
		case err != nil:
			return r, &fault{why: why(err)}
		case r.ID == 0:
			return r, &fault{why: "it hangs up: " + saying(r)}
		case r.ID != t.id:
			return r, &fault{why: "it answers what nobody asked"}
		case r.Op != ldap.Intermediate:
			return r, nil
		}
	}
}

func (t *talk) message() (ldap.Response, error) {
	t.in = t.in[:0]
	length, more, err := ldap.HeaderOf(nil)
	for err == nil && len(t.in) < max(length, more) {
		if t.read += max(length, more) - len(t.in); t.read > MaxAnswer {
			return ldap.Response{}, mail.Errorf(mail.TooLarge, "the answer has over %d octets", MaxAnswer)
		}
		have := len(t.in)
		t.in = append(t.in, make([]byte, max(length, more)-have)...)
		if _, err := io.ReadFull(t.conn, t.in[have:]); err != nil {
			return ldap.Response{}, err
		}
		if length == 0 {
			length, more, err = ldap.HeaderOf(t.in)
		}
	}
	if err != nil {
		return ldap.Response{}, err
	}
	return ldap.ParseResponse(t.in)
}

// bind asks to be let in. Errors: fault; Forbidden if the name or password is wrong.
func (t *talk) bind(name, password string) error {
	if name == "" || password == "" {
		return errWrong
	}
	t.known = false
	r, err := t.request(ldap.BindResponse, func(id int) []byte { return ldap.AppendBind(nil, id, name, password) })
	if err != nil {
		return err
	}
	switch t.as, t.known = nobody, true; r.Code {
	case ldap.Success:
		t.as = name
		return nil
	case ldap.InvalidCredentials, ldap.InappropriateAuth, ldap.NoSuchObject:
		return errWrong
	}
	return refused(r)
}

// errWrong is that a server said that a name or password is wrong.
var errWrong = &mail.Error{Kind: mail.Forbidden, Text: "the LDAP directory says that the name or password is wrong"}

// refused is the fault that an operation ended otherwise than it should: another server
// is asked only if this one says that it cannot answer now.
func refused(r ldap.Response) error {
	return &fault{why: saying(r), heard: r.Code != ldap.Busy && r.Code != ldap.Unavailable}
}

// beService makes us the service account, or nobody if there is none. The error is a fault.
func (t *talk) beService() error {
	if t.known && t.as == t.c.cfg.Service {
		return nil
	}
	if t.c.cfg.Service == "" {
		r, err := t.request(ldap.BindResponse, func(id int) []byte { return ldap.AppendAnonymous(nil, id) })
		if err == nil && r.Code != ldap.Success {
			err = &fault{why: "it takes no questions of nobody: " + saying(r)}
		}
		t.as, t.known = nobody, err == nil
		return err
	}
	password, err := t.c.cfg.Password()
	if err != nil {
		return &fault{why: err.Error()}
	}
	err = t.bind(t.c.cfg.Service, password)
	if errors.Is(err, errWrong) {
		err = &fault{why: "it refuses the service account " + t.c.cfg.Service + ": wrong name or password"}
	}
	return err
}

// search asks for entries. More than are asked for are cut off; it is said whether there
// are. Errors: fault.
func (t *talk) search(s ldap.Search) (list []ldap.Entry, cut bool, err error) {
	s.Seconds = int(t.c.cfg.Timeout / time.Second)
	if err := t.send(func(id int) []byte { return ldap.AppendSearch(nil, id, s) }); err != nil {
		return nil, false, err
	}
	for {
		r, err := t.answer()
		switch {
		case err != nil:
			return nil, false, err
		case r.Op == ldap.SearchReference:
		case r.Op == ldap.SearchEntry && len(list) < s.Entries:
			list = append(list, r.Entry)
		case r.Op == ldap.SearchEntry:
			return nil, false, &fault{why: fmt.Sprintf("it sends more entries than the %d that it was asked for", s.Entries)}
		case r.Op != ldap.SearchDone:
			return nil, false, &fault{why: "it answers another question than it was asked"}
		case r.Code == ldap.SizeLimit:
			return list, true, nil
		case s.Scope == ldap.BaseObject && (r.Code == ldap.NoSuchObject || r.Code == ldap.InvalidName):
			return nil, false, nil
		case r.Code == ldap.NoSuchObject:
			return nil, false, &fault{why: "there is nothing under " + s.Base + ", where it is to look", heard: true}
		case r.Code != ldap.Success:
			return nil, false, refused(r)
		default:
			return list, false, nil
		}
	}
}

// saying is how an operation ended, in the server's words.
func saying(r ldap.Response) string {
	if r.Text == "" {
		return r.Code.String()
	}
	return r.Code.String() + " (" + r.Text + ")"
}

// inTime is err, or that ctx is over, whatever that broke.
func inTime(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return os.ErrDeadlineExceeded
	}
	return err
}

// why says in a few words what went wrong with a connection.
func why(err error) string {
	var (
		dial    *netx.DialError
		own     *mail.Error
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "it does not answer in time"
	case errors.As(err, &dial):
		return dial.Reason
	case errors.As(err, &own):
		return own.Error()
	case errors.As(err, &name):
		return "its certificate is for another name"
	case errors.As(err, &unknown):
		return "nobody whom we trust has signed its certificate; ca names the file of who has"
	case errors.As(err, &invalid):
		return "its certificate is not valid: " + invalid.Error()
	case errors.Is(err, netx.ErrEarlyInput):
		return "it sends something before TLS begins"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it closes the connection"
	}
	return "the connection broke: " + err.Error()
}
