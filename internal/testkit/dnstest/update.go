package dnstest

import (
	"errors"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"

	"yubin/internal/dns"
	"yubin/internal/world/resolver/record"
)

// updating is who may change which zone.
type updating struct {
	zone                   dns.Name
	key, algorithm, secret string
}

// TakeUpdates has the server take updates of a zone (RFC 2136) that are signed with a key
// (RFC 8945): its name, its algorithm, such as hmac-sha256, and its secret in base64. What
// comes in changes the Zone.
func (s *Server) TakeUpdates(zone dns.Name, key, algorithm, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates = append(s.updates, updating{zone, wire.Fqdn(strings.ToLower(key)), wire.Fqdn(algorithm), secret})
}

// Updated counts the updates that were taken.
func (s *Server) Updated() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.updated
}

// AnswerUnsigned has the server leave the signature off its answers to updates.
func (s *Server) AnswerUnsigned() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bare = true
}

// update answers an update.
func (s *Server) update(b []byte, m *wire.Msg) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply := new(wire.Msg).SetReply(m)
	sign := m.IsTsig()
	for _, u := range s.updates {
		if sign == nil || strings.ToLower(sign.Hdr.Name) != u.key || sign.Algorithm != u.algorithm {
			continue
		}
		if err := wire.TsigVerify(b, u.secret, "", false); err != nil {
			if errors.Is(err, wire.ErrTime) {
				return unsigned(reply, sign, wire.RcodeBadTime)
			}
			return unsigned(reply, sign, wire.RcodeBadSig)
		}
		reply.Rcode = wire.RcodeRefused
		zone, _ := record.Name(m.Question[0].Name)
		if slices.ContainsFunc(s.updates, func(o updating) bool { return o.zone == zone && o.key == u.key }) {
			reply.Rcode = s.zone.update(zone, m.Ns)
		}
		if reply.Rcode == wire.RcodeSuccess {
			s.updated++
		}
		if s.bare {
			return packed(reply)
		}
		reply.SetTsig(sign.Hdr.Name, sign.Algorithm, 300, time.Now().Unix())
		signed, _, err := wire.TsigGenerate(reply, u.secret, sign.MAC, false)
		if err != nil {
			panic(err) // The key is one that a test made.
		}
		return signed
	}
	if sign == nil {
		reply.Rcode = wire.RcodeRefused
		return packed(reply)
	}
	return unsigned(reply, sign, wire.RcodeBadKey)
}

// unsigned is an answer to what has a signature that is none (RFC 8945 §5.2).
func unsigned(reply *wire.Msg, sign *wire.TSIG, fault uint16) []byte {
	reply.Rcode = wire.RcodeNotAuth
	reply.Extra = append(reply.Extra, &wire.TSIG{
		Hdr:       wire.RR_Header{Name: sign.Hdr.Name, Rrtype: wire.TypeTSIG, Class: wire.ClassANY},
		Algorithm: sign.Algorithm, TimeSigned: sign.TimeSigned, Fudge: sign.Fudge, OrigId: reply.Id, Error: fault,
	})
	return packed(reply)
}

// update does what the update section says (RFC 2136 §3.4.2), as far as tests need it.
func (z *Zone) update(zone dns.Name, section []wire.RR) (rcode int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, rr := range section {
		if n, ok := record.Name(rr.Header().Name); !ok || !n.Within(zone) {
			return wire.RcodeNotZone
		}
	}
	for _, rr := range section {
		n, _ := record.Name(rr.Header().Name)
		switch rr.Header().Class {
		case wire.ClassNONE:
			z.drop(n, rr)
		case wire.ClassINET:
			if z.suits(n, rr.Header().Rrtype) {
				z.drop(n, rr)
				z.records[n] = append(z.records[n], rr)
			}
		default:
			return wire.RcodeNotImplemented
		}
	}
	return wire.RcodeSuccess
}

// suits: an alias stands alone, and what does not suit is passed over (RFC 2136 §3.4.2.2).
func (z *Zone) suits(n dns.Name, t uint16) bool {
	for _, rr := range z.records[n] {
		if (rr.Header().Rrtype == wire.TypeCNAME) != (t == wire.TypeCNAME) {
			return false
		}
	}
	return true
}

// Without takes the records of a text away, as Add adds them.
func (z *Zone) Without(text string) {
	gone := NewZone(text)
	z.mu.Lock()
	defer z.mu.Unlock()
	for n, list := range gone.records {
		for _, rr := range list {
			z.drop(n, rr)
		}
	}
}

// drop takes away the record with the same contents.
func (z *Zone) drop(n dns.Name, rr wire.RR) {
	gone := wire.Copy(rr)
	gone.Header().Class = wire.ClassINET
	var left []wire.RR
	for _, have := range z.records[n] {
		if !wire.IsDuplicate(have, gone) {
			left = append(left, have)
		}
	}
	if z.records[n] = left; len(left) == 0 {
		delete(z.records, n)
	}
}
