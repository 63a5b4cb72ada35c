package smtpd

import "bytes"

// foreign takes out of a header, as it comes in, the fields that only who makes final
// delivery or who judges may put there:
//
//   - Return-Path, which tells of a delivery elsewhere: the recipient's copy begins
//     with our own (RFC 5321 §4.4), and no signature covers it (RFC 6376 §5.4). A
//     message that goes on to others keeps them: a relay must not even look.
//   - Authentication-Results that claim to be ours (RFC 8601 §5), and X-Yubin-Verdict:
//     who reads them must be able to believe them.
//
// A line that may begin one is held back until that is known, a few octets long; a
// field that may be taken out for what it says, until it is over. Where stray lines
// leave open what is header (message.Parser.BetweenFields), the field stays.
type foreign struct {
	keepPaths bool
	claims    func(value []byte) bool // whether Authentication-Results are said to be ours; nil is no

	start []byte // of a line that may begin such a field
	field []byte // one that is held until it is over
	fate  fate   // of the field that is coming
	mid   bool   // the next octets are not the start of a line
}

// fate is what becomes of a field.
type fate uint8

const (
	kept fate = iota
	cut
	held    // until it is over
	unclear // more of the line is needed to know
)

const (
	maxStart = 64       // octets of a line that are held back to know its name
	maxField = 64 << 10 // octets of a field that is held; a longer one goes
)

// cut gives pass what stays of p. sure is asked, when all before a field was given,
// whether that field is of the header.
func (r *foreign) cut(p []byte, pass func([]byte), sure func() bool) {
	given := 0
	give := func(to int) {
		if to > given {
			pass(p[given:to])
		}
		given = to
	}
	for at := 0; at < len(p); {
		end, whole := len(p), false
		if i := bytes.IndexByte(p[at:], '\n'); i >= 0 {
			end, whole = at+i+1, true
		}
		if !r.mid {
			line := p[at:end]
			if len(r.start) > 0 {
				line = append(r.start, line...)
			}
			if folded := line[0] == ' ' || line[0] == '\t'; !folded {
				give(at)
				r.settle(pass)
				if whole && len(bytes.TrimRight(line, "\r\n")) == 0 { // The header is over, or there is none.
					r.fate = kept
					r.take(r.start, pass)
					r.start = nil
					break
				}
				r.fate = r.name(line, whole)
				if r.fate != kept && len(r.start) == 0 && !sure() {
					r.fate = kept
				}
				if r.fate == unclear {
					r.start, given = bytes.Clone(line), end
					return
				}
			}
			r.take(r.start, pass)
			r.start = nil
		}
		if r.fate != kept {
			give(at)
			r.take(p[at:end], pass)
			given = end
		}
		r.mid, at = !whole, end
	}
	give(len(p))
}

// take does with octets of a field what is to become of it.
func (r *foreign) take(p []byte, pass func([]byte)) {
	switch {
	case len(p) == 0 || r.fate == cut:
	case r.fate == kept:
		pass(p)
	case len(r.field)+len(p) > maxField:
		r.field, r.fate = nil, cut
	default:
		r.field = append(r.field, p...)
	}
}

// settle decides about a field that is over.
func (r *foreign) settle(pass func([]byte)) {
	if len(r.field) > 0 && !r.claims(r.field[bytes.IndexByte(r.field, ':')+1:]) {
		pass(r.field)
	}
	r.field = nil
}

// end is told that no more octets come.
func (r *foreign) end(pass func([]byte)) {
	if len(r.start) > 0 {
		pass(r.start)
		r.start = nil
	}
	r.settle(pass)
}

// name says what becomes of the field that line begins.
func (r *foreign) name(line []byte, whole bool) fate {
	name, _, colon := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t\r\n")
	for _, f := range [...]struct {
		name string
		fate fate
		on   bool
	}{
		{"return-path", cut, !r.keepPaths},
		{"x-yubin-verdict", cut, true},
		{"authentication-results", held, r.claims != nil},
	} {
		switch n := min(len(name), len(f.name)); {
		case !f.on || !bytes.EqualFold(name[:n], []byte(f.name[:n])):
		case colon && len(name) == len(f.name):
			return f.fate
		case !colon && !whole && len(name) <= len(f.name) && len(line) < maxStart:
			return unclear
		}
	}
	return kept
}
