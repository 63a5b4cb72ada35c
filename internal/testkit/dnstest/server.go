package dnstest

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/world/resolver/record"
)

// Query is one question that a Server received.
type Query struct {
	Name dns.Name
	Type dns.Type
	TCP  bool
	EDNS bool
	ID   uint16
	From netip.AddrPort
}

// Server answers from a Zone by UDP and TCP, as a recursive resolver would that
// validates: it sets RA, follows aliases and sets AD on what is signed when the
// question has AD (RFC 6840 §5.8). What does not fit by UDP is truncated.
type Server struct {
	zone *Zone
	udp  net.PacketConn
	tcp  net.Listener
	quit chan struct{}
	all  sync.WaitGroup

	mu      sync.Mutex
	orders  map[dns.Name][]order
	queries []Query
	conns   map[net.Conn]bool
	updates []updating
	updated int
	bare    bool // answers to updates have no signature
}

// order is a Fault for a number of questions; negative stands for all.
type order struct {
	fault Fault
	times int
}

// Listen starts a Server on a free port of 127.0.0.1.
func Listen(zone *Zone) (*Server, error) {
	udp, tcp, err := listenBoth()
	if err != nil {
		return nil, err
	}
	return serve(zone, udp, tcp), nil
}

// ListenAt starts a Server at an address and port.
func ListenAt(zone *Zone, addr string) (*Server, error) {
	udp, err := net.ListenPacket("udp", addr)
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", addr)
	if err != nil {
		udp.Close()
		return nil, err
	}
	return serve(zone, udp, tcp), nil
}

func serve(zone *Zone, udp net.PacketConn, tcp net.Listener) *Server {
	s := &Server{zone: zone, udp: udp, tcp: tcp, quit: make(chan struct{}), orders: map[dns.Name][]order{}, conns: map[net.Conn]bool{}}
	s.all.Go(s.serveUDP)
	s.all.Go(s.serveTCP)
	return s
}

// listenBoth finds a port that is free by UDP and by TCP.
func listenBoth() (udp net.PacketConn, tcp net.Listener, err error) {
	const tries = 20
	for range tries {
		if udp, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
			return nil, nil, err
		}
		if tcp, err = net.Listen("tcp4", udp.LocalAddr().String()); err == nil {
			return udp, tcp, nil
		}
		udp.Close()
	}
	return nil, nil, err
}

// Addr is where the server listens.
func (s *Server) Addr() netip.AddrPort { return s.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// Close ends the server and all its connections.
func (s *Server) Close() error {
	close(s.quit)
	err := s.udp.Close()
	s.tcp.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
	return err
}

// Misbehave orders a Fault for the next questions about n, of any type, after
// what was ordered before. Negative times stand for always.
func (s *Server) Misbehave(n dns.Name, fault Fault, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders[n] = append(s.orders[n], order{fault, times})
}

// Behave ends all faults of n.
func (s *Server) Behave(n dns.Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.orders, n)
}

// Queries returns the questions so far, in order.
func (s *Server) Queries() []Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

// note records q and returns the fault ordered for it.
func (s *Server) note(q Query) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, q)
	orders := s.orders[q.Name]
	if len(orders) == 0 {
		return Behaved
	}
	fault := orders[0].fault
	if orders[0].times--; orders[0].times == 0 {
		s.orders[q.Name] = orders[1:]
	}
	return fault
}

func (s *Server) serveUDP() {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		answer, _ := s.handle(buf[:n], false, from)
		for _, packet := range answer {
			_, _ = s.udp.WriteTo(packet, from) // A client that is gone already is its own affair.
		}
	}
}

func (s *Server) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.all.Go(func() { s.converse(c) })
	}
}

// converse answers the questions of one connection. A fault may end it, or
// leave it open without another word.
func (s *Server) converse(c net.Conn) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		c.Close()
	}()
	var size [2]byte
	for {
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		answer, hangUp := s.handle(b, true, c.RemoteAddr())
		for _, framed := range answer {
			if _, err := c.Write(framed); err != nil {
				return
			}
		}
		if hangUp {
			return
		}
	}
}

// handle returns the octets to send in reply: datagrams, or by TCP framed
// messages, after which the connection may have to end.
func (s *Server) handle(b []byte, tcp bool, from net.Addr) (answer [][]byte, hangUp bool) {
	q, m, ok := readQuery(b)
	if !ok {
		return nil, true
	}
	if m.Opcode == wire.OpcodeUpdate {
		return framed(s.update(b, m), tcp), false
	}
	q.TCP = tcp
	q.From, _ = netip.ParseAddrPort(from.String())
	fault := s.note(q)
	reply := fault.alter(s.reply(q, m), m)
	if tcp {
		return fault.overTCP(reply)
	}
	return fault.overUDP(reply, m), false
}

// framed is a message as it is sent.
func framed(b []byte, tcp bool) [][]byte {
	if tcp {
		b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	}
	return [][]byte{b}
}

// reply is the right answer to q, of any size.
func (s *Server) reply(q Query, m *wire.Msg) *wire.Msg {
	got := s.zone.find(q.Name, q.Type, maxAliases)
	reply := new(wire.Msg).SetReply(m)
	reply.RecursionAvailable, reply.Compress = true, true
	reply.AuthenticatedData = got.authentic && m.AuthenticatedData
	reply.Answer = slices.Concat(got.aliases, got.records)
	if got.failure == dns.NXDomain {
		reply.Rcode = wire.RcodeNameError
	}
	if got.soa != nil {
		soa := wire.Copy(got.soa).(*wire.SOA)
		soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl) // RFC 2308 §3
		reply.Ns = []wire.RR{soa}
	}
	if m.IsEdns0() != nil {
		reply.SetEdns0(wire.MaxMsgSize-1, false)
	}
	return reply
}

func readQuery(b []byte) (Query, *wire.Msg, bool) {
	m := new(wire.Msg)
	if err := m.Unpack(b); err != nil || len(m.Question) != 1 || m.Response {
		return Query{}, nil, false
	}
	n, ok := record.Name(m.Question[0].Name)
	return Query{Name: n, Type: dns.Type(m.Question[0].Qtype), EDNS: m.IsEdns0() != nil, ID: m.Id}, m, ok
}
