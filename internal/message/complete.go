package message

// CompleteAddresses is the value of a field of addresses in which those without a
// domain ("root (Cron Daemon)", "Bob <bob>") are what full says: local "@" domain. It
// returns value itself if none is so, else one line without its end. What is not one
// word is a name and stays.
func CompleteAddresses(value []byte, full func(local string) string) []byte {
	c := completer{s: addressScanner{b: unfold(value)}, full: full}
	group := false
	for n := 0; n < MaxAddresses; n++ {
		end, stop := c.s.next()
		if text := c.s.b[c.s.pos:end]; stop == 0 || stop == ',' || stop == ';' {
			c.bare(text)
		} else {
			c.out = append(c.out, text...)
		}
		c.s.pos = end
		switch {
		case stop == 0:
			if !c.changed {
				return value
			}
			return c.out
		case stop == '<':
			c.angle()
			continue
		case stop == ':' && group:
			return value // A list that nobody can read.
		case stop == ':':
			group = true
		case stop == ';':
			group = false
		}
		c.out = append(c.out, stop)
		c.s.pos++
	}
	return value
}

type completer struct {
	s       addressScanner
	full    func(string) string
	out     []byte
	changed bool
}

// angle copies an address in brackets and what follows up to the comma.
func (c *completer) angle() {
	c.out = append(c.out, '<')
	c.s.pos++
	end, stop := c.s.angleEnd()
	inner := c.s.b[c.s.pos:end]
	if stop == '>' {
		c.bare(inner)
	} else {
		c.out = append(c.out, inner...)
	}
	c.s.pos = end
	if stop == '>' {
		c.out = append(c.out, c.s.skipTo(end)...)
	}
}

// bare copies an address without brackets. The word of one that has no domain becomes
// the whole address.
func (c *completer) bare(text []byte) {
	start := skipSpace(text, 0)
	end := start
	if end < len(text) && text[end] == '"' {
		end += max(quotedLen(text[end:], 0), 1)
	} else {
		for end < len(text) && (isAtext(text[end]) || text[end] == '.') {
			end++
		}
	}
	if end == start || end-start == 1 && text[start] == '"' || skipSpace(text, end) < len(text) {
		c.out = append(c.out, text...)
		return
	}
	c.changed = true
	c.out = append(c.out, text[:start]...)
	c.out = append(c.out, c.full(string(localPart(text[start:end])))...)
	c.out = append(c.out, text[end:]...)
}

// skipSpace is where after i something else than space and closed comments is.
func skipSpace(b []byte, i int) int {
	for i < len(b) {
		switch {
		case isWSP(b[i]):
			i++
		case b[i] == '(' && closedCommentLen(b[i:], 0) > 1:
			i += closedCommentLen(b[i:], 0)
		default:
			return i
		}
	}
	return i
}
