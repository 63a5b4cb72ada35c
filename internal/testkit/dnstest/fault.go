package dnstest

import (
	"encoding/binary"
	"net"

	wire "github.com/miekg/dns"
)

// Fault is a way in which a Server misbehaves.
type Fault uint8

// The faults. Those that concern TCP truncate by UDP, so that it is used.
const (
	Behaved       Fault = iota
	Drop                // no answer
	Garbage             // the right ID, then octets without sense
	Noise               // datagrams too short to be anything, then the right answer
	WrongID             // only an answer with another ID
	WrongQuestion       // only an answer to another question
	Forge               // answers as a forger sends them, with Forged in them, then the right one
	Short               // fewer records than the header says
	Extra               // records of names and zones that nobody asked for, with Forged in them
	ServFail            // SERVFAIL with the extended error "DNSSEC Bogus"
	Refused             // REFUSED, as a header alone
	NoEDNS              // FORMERR to EDNS, the right answer without
	Lame                // a referral to other servers
	Empty               // success, and nothing in it
	OneLink             // one alias at a time
	Truncate            // by UDP no records, as if they did not fit
	CutRecord           // by UDP the octets cut within a record
	Oversize            // a datagram of 4000 octets
	Huge                // 3000 addresses, which fits only by TCP
	SlowTCP             // by TCP half an answer, then nothing
	HangUpTCP           // by TCP the connection ends at the question
	TruncateTCP         // by TCP truncated too
)

// Forged is the address in records that are not to be believed.
const Forged = "203.0.113.66"

func forged(owner string) wire.RR {
	return &wire.A{Hdr: header(owner, wire.TypeA), A: net.ParseIP(Forged)}
}

func header(owner string, t uint16) wire.RR_Header {
	return wire.RR_Header{Name: owner, Rrtype: t, Class: wire.ClassINET, Ttl: DefaultTTL}
}

// alter makes the fault in the contents of the right answer to the query m.
func (f Fault) alter(reply, m *wire.Msg) *wire.Msg {
	switch f {
	case WrongID:
		reply.Id++
	case WrongQuestion:
		reply.Question = []wire.Question{{Name: "other.example.", Qtype: wire.TypeA, Qclass: wire.ClassINET}}
	case Extra:
		return intrude(reply)
	case ServFail:
		return bogus(m)
	case Refused:
		refused := new(wire.Msg).SetRcode(m, wire.RcodeRefused)
		refused.Question = nil
		return refused
	case NoEDNS:
		if m.IsEdns0() != nil {
			return new(wire.Msg).SetRcode(m, wire.RcodeFormatError)
		}
	case Lame:
		lame := new(wire.Msg).SetReply(m)
		lame.Ns = []wire.RR{&wire.NS{Hdr: header(".", wire.TypeNS), Ns: "a.root-servers.net."}}
		return lame
	case OneLink:
		reply.Answer, reply.Ns = reply.Answer[:min(1, len(reply.Answer))], nil
	case Empty:
		reply.Rcode, reply.Answer, reply.Ns = wire.RcodeSuccess, nil, nil
	case Huge:
		return huge(reply, 3000)
	case Oversize:
		return huge(reply, 240)
	}
	return reply
}

// intrude puts records of others around the right ones.
func intrude(reply *wire.Msg) *wire.Msg {
	alias := &wire.CNAME{Hdr: header("other.example.", wire.TypeCNAME), Target: reply.Question[0].Name}
	chaos := forged(reply.Question[0].Name)
	chaos.Header().Class = wire.ClassCHAOS
	reply.Answer = append([]wire.RR{forged("other.example."), chaos, alias}, reply.Answer...)
	reply.Extra = append(reply.Extra, forged(reply.Question[0].Name))
	soa := &wire.SOA{Hdr: header("other.example.", wire.TypeSOA), Ns: ".", Mbox: ".", Minttl: 10}
	reply.Ns = append([]wire.RR{soa}, reply.Ns...)
	return reply
}

func bogus(m *wire.Msg) *wire.Msg {
	reply := new(wire.Msg).SetRcode(m, wire.RcodeServerFailure)
	if m.IsEdns0() != nil {
		reply.SetEdns0(wire.MaxMsgSize-1, false)
		opt := reply.IsEdns0()
		opt.Option = append(opt.Option, &wire.EDNS0_EDE{InfoCode: wire.ExtendedErrorCodeDNSBogus, ExtraText: "a stranger's words"})
	}
	return reply
}

// huge answers with n addresses of the name asked for.
func huge(reply *wire.Msg, n int) *wire.Msg {
	reply.Rcode, reply.Answer, reply.Ns = wire.RcodeSuccess, nil, nil
	for i := range n {
		ip := net.IPv4(10, 0, byte(i>>8), byte(i))
		reply.Answer = append(reply.Answer, &wire.A{Hdr: header(reply.Question[0].Name, wire.TypeA), A: ip})
	}
	return reply
}

// overUDP returns the datagrams that answer the query m.
func (f Fault) overUDP(reply, m *wire.Msg) [][]byte {
	size := wire.MinMsgSize
	if opt := m.IsEdns0(); opt != nil {
		size = int(opt.UDPSize())
	}
	switch f {
	case Drop:
		return nil
	case Truncate, SlowTCP, HangUpTCP, TruncateTCP:
		reply.Answer, reply.Ns, reply.Truncated = nil, nil, true
	case CutRecord:
		b := packed(reply)
		b[2] |= 0x02
		return [][]byte{b[:len(b)-18]} // Through the OPT record, of 11 octets, and the one before.
	case Oversize:
		return [][]byte{packed(reply)}
	case Forge:
		return append(forgeries(reply), packed(reply))
	case Noise:
		return [][]byte{nil, {1}, packed(reply)[:11], packed(reply)}
	}
	reply.Truncate(size)
	return [][]byte{f.mangle(packed(reply))}
}

// overTCP returns the framed messages, and whether to hang up after them.
func (f Fault) overTCP(reply *wire.Msg) ([][]byte, bool) {
	if f == TruncateTCP {
		reply.Answer, reply.Truncated = nil, true
	}
	b := f.mangle(packed(reply))
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
	switch f {
	case Drop:
		return nil, false
	case SlowTCP:
		return [][]byte{framed[:len(framed)/2]}, false
	case HangUpTCP:
		return nil, true
	}
	return [][]byte{framed}, false
}

// mangle makes the faults that are in the octets.
func (f Fault) mangle(b []byte) []byte {
	switch f {
	case Garbage:
		for i := 12; i < len(b); i++ {
			b[i] = byte(0x80 + 37*i) // Among them labels of a kind that does not exist.
		}
	case Short:
		b[7] += 3 // ANCOUNT
		return b
	}
	return b
}

// forgeries are what one sends who knows the question but not the ID, or has
// the ID of another question.
func forgeries(right *wire.Msg) [][]byte {
	name := right.Question[0].Name
	blind := right.Copy()
	blind.Id, blind.Answer, blind.Ns, blind.Rcode = right.Id+1, []wire.RR{forged(name)}, nil, wire.RcodeSuccess
	other := blind.Copy()
	other.Id, other.Question[0].Name = right.Id, "other.example."
	query := blind.Copy()
	query.Id, query.Response = right.Id, false
	class := blind.Copy()
	class.Id, class.Question[0].Qclass = right.Id, wire.ClassCHAOS
	return [][]byte{packed(blind), packed(other), packed(query), packed(class)}
}

func packed(m *wire.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err) // Records that were parsed, or made here, can be packed.
	}
	return b
}
