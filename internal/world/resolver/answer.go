package resolver

import (
	"encoding/binary"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/world/resolver/record"
)

// question is what is asked; its name is in canonical form.
type question struct {
	name dns.Name
	kind dns.Type
}

// verdict is what a message is to whoever waits for an answer.
type verdict uint8

const (
	stray     verdict = iota // not the answer: whoever sent it, the answer may still come
	broken                   // from one who knows the ID, and not to be understood
	truncated                // the answer, cut (RFC 1035 §4.1.1)
	whole
)

const headerSize = 12 // octets, RFC 1035 §4.1.1

// decode reads a message that came in reply to the question q with an ID.
func decode(b []byte, id uint16, q question) (*wire.Msg, verdict) {
	const response, cut = 0x80, 0x02
	if len(b) < headerSize || binary.BigEndian.Uint16(b) != id || b[2]&response == 0 {
		return nil, stray
	}
	m := new(wire.Msg)
	err := m.Unpack(b)
	switch {
	case err == nil && !echoes(m, q):
		return nil, stray
	case b[2]&cut != 0: // Some servers cut in the middle of a record.
		return nil, truncated
	case err != nil || m.Opcode != wire.OpcodeQuery || short(b, m):
		return nil, broken
	}
	return m, whole
}

// short reports whether m has fewer records than its header says: the library
// lets that pass.
func short(b []byte, m *wire.Msg) bool {
	if m.Rcode != wire.RcodeSuccess && m.Rcode != wire.RcodeNameError {
		return false
	}
	return int(binary.BigEndian.Uint16(b[6:])) != len(m.Answer) || int(binary.BigEndian.Uint16(b[8:])) != len(m.Ns)
}

// echoes reports whether m repeats the question. Servers that do not understand
// us may leave it out.
func echoes(m *wire.Msg, q question) bool {
	if len(m.Question) == 0 {
		return m.Rcode != wire.RcodeSuccess && m.Rcode != wire.RcodeNameError && len(m.Answer) == 0
	}
	name, ok := record.Name(m.Question[0].Name)
	return len(m.Question) == 1 && ok && name == q.name &&
		m.Question[0].Qtype == uint16(q.kind) && m.Question[0].Qclass == wire.ClassINET
}

// answer is what one message says to one question.
type answer struct {
	failure   dns.Failure // None, NXDomain, NoData, or why the message is of no use
	detail    string
	name      dns.Name // at the end of the chain of aliases
	links     int      // of that chain
	more      bool     // name is an alias' target of which the message says nothing
	records   []wire.RR
	authentic bool
	ttl       time.Duration // how long it may be remembered
}

// final reports whether no other server needs to be asked.
func (a answer) final() bool {
	return a.failure == dns.None || a.failure.NotFound() || a.failure == dns.Loop
}

// interpret reads the answer to q out of m.
func interpret(m *wire.Msg, q question) answer {
	switch m.Rcode {
	case wire.RcodeSuccess, wire.RcodeNameError:
	case wire.RcodeServerFailure:
		return answer{failure: dns.ServFail, detail: extended(m)}
	default:
		return answer{failure: dns.Refused, detail: strings.TrimSuffix(wire.RcodeToString[m.Rcode]+" "+extended(m), " ")}
	}
	a := follow(m.Answer[:min(len(m.Answer), MaxRecords)], q)
	a.authentic = m.AuthenticatedData
	if a.failure == dns.None && len(a.records) == 0 {
		a.absent(m)
	}
	return a
}

// follow walks from the name asked for along its aliases to the records of the
// type asked for. Records of other names are not looked at: nobody asked.
func follow(section []wire.RR, q question) answer {
	a := answer{name: q.name, ttl: MaxTTL}
	for ; a.links <= MaxAliases; a.links++ {
		alias := a.gather(section, q.kind)
		if len(a.records) > 0 || alias == nil {
			return a
		}
		target, ok := record.Target(alias)
		if !ok {
			return answer{failure: dns.Malformed, detail: "an alias has no target"}
		}
		a.name = target
		a.lower(alias)
	}
	return answer{failure: dns.Loop}
}

// gather collects the records of type kind of a.name, and returns its alias if
// it has one.
func (a *answer) gather(section []wire.RR, kind dns.Type) (alias wire.RR) {
	for _, rr := range section {
		h := rr.Header()
		name, ok := record.Name(h.Name)
		switch {
		case !ok || name != a.name || h.Class != wire.ClassINET:
		case h.Rrtype == uint16(kind):
			a.records = append(a.records, rr)
			a.lower(rr)
		case h.Rrtype == wire.TypeCNAME && alias == nil:
			alias = rr
		}
	}
	return alias
}

// lower keeps the least time to live of all records of the chain. One with the
// highest bit set is 0 (RFC 2181 §8).
func (a *answer) lower(rr wire.RR) {
	ttl := rr.Header().Ttl
	if ttl >= 1<<31 {
		ttl = 0
	}
	a.ttl = min(a.ttl, time.Duration(ttl)*time.Second)
}

// absent finds out what it means that a has no records (RFC 2308 §2).
func (a *answer) absent(m *wire.Msg) {
	soa := authority(m, a.name)
	switch {
	case m.Rcode == wire.RcodeNameError:
		a.failure = dns.NXDomain
	case soa == nil && a.links > 0:
		a.more = true
		return
	case soa == nil && (refers(m) || !m.Authoritative && !m.RecursionAvailable):
		*a = answer{failure: dns.Refused, detail: "the server is lame: it refers to others"}
		return
	default:
		a.failure = dns.NoData
	}
	if soa == nil { // Not to be remembered, RFC 2308 §5.
		a.ttl = 0
		return
	}
	a.lower(soa)
	a.ttl = min(a.ttl, time.Duration(soa.Minttl)*time.Second, MaxNegativeTTL)
}

// authority returns the SOA record of a zone that n can be in, or nil.
func authority(m *wire.Msg, n dns.Name) *wire.SOA {
	for _, rr := range m.Ns[:min(len(m.Ns), MaxRecords)] {
		soa, ok := rr.(*wire.SOA)
		if !ok {
			continue
		}
		if zone, ok := record.Name(soa.Hdr.Name); ok && n.Within(zone) {
			return soa
		}
	}
	return nil
}

// refers reports whether m names other servers instead of answering.
func refers(m *wire.Msg) bool {
	for _, rr := range m.Ns {
		if rr.Header().Rrtype == wire.TypeNS {
			return true
		}
	}
	return false
}

// extended names the extended errors of m (RFC 8914), without their text, which
// anyone can have written.
func extended(m *wire.Msg) string {
	opt := m.IsEdns0()
	if opt == nil {
		return ""
	}
	var names []string
	for _, o := range opt.Option {
		if e, ok := o.(*wire.EDNS0_EDE); ok && wire.ExtendedErrorCodeToString[e.InfoCode] != "" {
			names = append(names, wire.ExtendedErrorCodeToString[e.InfoCode])
		}
	}
	return strings.Join(names[:min(len(names), 3)], ", ")
}
