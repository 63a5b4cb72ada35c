package smtpd

import "bytes"

// returnPaths takes the Return-Path fields out of a header as it comes in. They
// tell of a delivery elsewhere, and the recipient's copy begins with our own; who
// makes final delivery may remove them (RFC 5321 §4.4). No signature covers them
// (RFC 6376 §5.4). A message that goes on to others keeps them: a relay must
// not even look.
//
// A line that may begin one is held back until that is known, a few octets long.
// Where stray lines leave open what is header (message.Parser.BetweenFields), the
// field stays.
type returnPaths struct {
	held  []byte // the start of a line that may begin such a field
	mid   bool   // inside another line
	taken bool   // which is taken out, as the lines folded below it
}

// maxHeld is how much of a line may be held back.
const maxHeld = 64

// cut gives pass what stays of p. sure is asked, when all before a field was
// given, whether that field is of the header.
func (r *returnPaths) cut(p []byte, pass func([]byte), sure func() bool) {
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
		line := p[at:end]
		if len(r.held) > 0 {
			line = append(r.held, line...)
		}
		if !r.mid {
			if len(bytes.TrimRight(line, "\r\n")) == 0 && whole {
				break // The header is over, or there is none.
			}
			folded := line[0] == ' ' || line[0] == '\t'
			is, may := isReturnPath(line, whole)
			if may = may || is; may && len(r.held) == 0 {
				give(at)
				may = sure()
			}
			if may && !is && !whole {
				r.held, given = bytes.Clone(line), end
				return
			}
			if r.taken = r.taken && folded || may && is; !r.taken && len(r.held) > 0 {
				pass(r.held)
			}
			r.held = nil
		}
		if r.taken {
			give(at)
			given = end
		}
		r.mid, at = !whole, end
	}
	r.taken = r.taken && given == len(p) // Not beyond an empty line.
	give(len(p))
}

// isReturnPath reports whether line begins a Return-Path field, or may do so when
// more of it is there.
func isReturnPath(line []byte, whole bool) (is, may bool) {
	const name = "return-path"
	n := min(len(line), len(name))
	if line[0]|0x20 != 'r' || !bytes.EqualFold(line[:n], []byte(name[:n])) {
		return false, false
	}
	rest := bytes.TrimLeft(line[n:], " \t")
	if len(rest) == 0 {
		return false, !whole && len(line) < maxHeld
	}
	return n == len(name) && rest[0] == ':', false
}
