package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
)

// fault is why one try of one server gave no message.
type fault struct {
	failure dns.Failure // None: there is a message
	detail  string
}

// ask puts q to the servers until one has a final answer. A server that was
// silent or not to be understood is tried again in the next round; one that
// failed knowingly is not.
func (r *Resolver) ask(ctx context.Context, up *upstream, q question) answer {
	worst := answer{failure: dns.Timeout}
	pending := up.order(r.o.Now())
	for round := range up.attempts {
		var again []*server
		for _, s := range pending {
			a := r.askServer(ctx, s, q, up.timeout<<round)
			if a.final() {
				return a
			}
			if ctx.Err() != nil {
				return answer{failure: dns.Timeout, detail: "the lookup took too long"}
			}
			if a.failure != dns.Timeout || worst.failure == dns.Timeout {
				worst = a
			}
			if a.failure != dns.ServFail && a.failure != dns.Refused {
				again = append(again, s)
			}
		}
		pending = again
	}
	return worst
}

// askServer asks one server; a second time without EDNS if it does not know
// that (RFC 6891 §7).
func (r *Resolver) askServer(ctx context.Context, s *server, q question, timeout time.Duration) answer {
	m, f := r.exchange(ctx, s, q, timeout, true)
	if m != nil && (m.Rcode == wire.RcodeFormatError || m.Rcode == wire.RcodeNotImplemented || m.Rcode == wire.RcodeBadVers) {
		m, f = r.exchange(ctx, s, q, timeout, false)
	}
	switch {
	case m != nil:
		s.badUntil.Store(0)
	case ctx.Err() == nil && (f.failure == dns.Timeout || f.failure == dns.Unreachable):
		s.badUntil.Store(r.o.Now().Add(Penalty).UnixNano())
	}
	a := answer{failure: f.failure, detail: f.detail}
	if m != nil {
		a = interpret(m, q)
		a.authentic = a.authentic && s.trusted
	}
	if !a.final() {
		a.detail = strings.TrimSuffix(s.addr.String()+": "+a.detail, ": ")
	}
	return a
}

// exchange asks by UDP, and by TCP if the answer does not fit. Each way has the
// whole timeout.
func (r *Resolver) exchange(ctx context.Context, s *server, q question, timeout time.Duration, edns bool) (*wire.Msg, fault) {
	id, err := r.newID()
	if err != nil {
		return nil, fault{dns.Unreachable, "no random numbers"}
	}
	packed, err := pack(q, id, edns)
	if err != nil {
		return nil, fault{dns.Malformed, "the question cannot be written"}
	}
	t := transaction{r: r, server: s, q: q, id: id, packed: packed, timeout: timeout}
	m, v, f := t.over(ctx, "udp", t.udp)
	if v != truncated {
		return m, f
	}
	if m, _, f = t.over(ctx, "tcp", t.tcp); m == nil {
		f.detail = strings.TrimPrefix(f.detail+" by TCP", " ")
	}
	return m, f
}

// pack writes the question: recursion, and the AD bit to be told about
// validation (RFC 6840 §5.7) without the signatures themselves.
func pack(q question, id uint16, edns bool) ([]byte, error) {
	m := &wire.Msg{
		MsgHdr:   wire.MsgHdr{Id: id, RecursionDesired: true, AuthenticatedData: true},
		Question: []wire.Question{{Name: q.name.FQDN(), Qtype: uint16(q.kind), Qclass: wire.ClassINET}},
	}
	if edns {
		m.SetEdns0(UDPSize, false)
	}
	return m.Pack()
}

// transaction is one question to one server under one ID.
type transaction struct {
	r       *Resolver
	server  *server
	q       question
	id      uint16
	packed  []byte
	timeout time.Duration
}

// over opens a connection, lets speak use it and closes it, within the timeout
// and the number of sockets.
func (t *transaction) over(ctx context.Context, network string, speak func(net.Conn) (*wire.Msg, verdict, error)) (*wire.Msg, verdict, fault) {
	select {
	case t.r.slots <- struct{}{}:
		defer func() { <-t.r.slots }()
	case <-ctx.Done():
		return nil, stray, fault{dns.Timeout, "too many lookups"}
	}
	start := t.r.o.Now()
	m, v, f := t.speakOver(ctx, network, speak)
	if t.r.o.Tried != nil {
		t.r.o.Tried(Try{t.server.addr, network == "tcp", f.failure, t.r.o.Now().Sub(start)})
	}
	return m, v, f
}

func (t *transaction) speakOver(ctx context.Context, network string, speak func(net.Conn) (*wire.Msg, verdict, error)) (*wire.Msg, verdict, fault) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	conn, err := t.r.o.Dial(ctx, network, t.server.addr.String())
	if err != nil {
		return nil, stray, faultOf(ctx, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, stray, faultOf(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // so that whoever gives up need not wait for the deadline
	defer stop()
	m, v, err := speak(conn)
	switch {
	case err != nil:
		return nil, v, faultOf(ctx, err)
	case v == stray || v == broken, v == truncated && network == "tcp":
		return nil, v, fault{dns.Malformed, "the message is not an answer to us"}
	}
	return m, v, fault{}
}

// udp sends the question and reads until the answer comes. Datagrams that are
// no answer may be forged, and do not end the wait.
func (t *transaction) udp(conn net.Conn) (*wire.Msg, verdict, error) {
	if _, err := conn.Write(t.packed); err != nil {
		return nil, stray, err
	}
	buf := make([]byte, UDPSize+1)
	for range MaxStray {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, stray, err
		}
		m, v := decode(buf[:n], t.id, t.q)
		if n > UDPSize && v != stray {
			return nil, truncated, nil // More than we asked for; its end is lost.
		}
		if v != stray {
			return m, v, nil
		}
	}
	return nil, stray, nil
}

// tcp sends the question and reads one message (RFC 1035 §4.2.2).
func (t *transaction) tcp(conn net.Conn) (*wire.Msg, verdict, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(t.packed)))
	if _, err := conn.Write(append(framed, t.packed...)); err != nil {
		return nil, stray, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, stray, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, stray, err
	}
	m, v := decode(b, t.id, t.q)
	return m, v, nil
}

// faultOf tells a server that is silent from one that cannot be spoken to.
func faultOf(ctx context.Context, err error) fault {
	var n net.Error
	if ctx.Err() != nil || errors.As(err, &n) && n.Timeout() {
		return fault{failure: dns.Timeout}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fault{dns.Unreachable, op.Err.Error()}
	}
	return fault{dns.Unreachable, err.Error()}
}
