package imap

// listCommand = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat
// [SP list-return-opts] (RFC 5258 §6).
func (p *parser) listCommand() any {
	l := &List{}
	p.sp()
	if p.Peek() == '(' {
		l.Extended = true
		p.optList(MaxOptions, func() { p.listSelectOpt(&l.Select) })
		if l.Select.RecursiveMatch && !l.Select.Subscribed {
			p.Fail("SUBSCRIBED beside RECURSIVEMATCH")
		}
		p.sp()
	}
	l.Reference = p.pattern(p.astring())
	p.sp()
	p.mboxOrPat(l)
	if p.TryFold(" RETURN ") {
		l.Extended = true
		p.optList(MaxOptions, func() { p.returnOption(&l.Return) })
	}
	return l
}

// lsub = "LSUB" SP mailbox SP list-mailbox (RFC 3501 §6.3.9).
func (p *parser) lsub() any {
	p.sp()
	l := &List{LSub: true, Reference: p.pattern(p.astring())}
	p.sp()
	l.Patterns = []string{p.listMailbox()}
	return l
}

// mboxOrPat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")".
func (p *parser) mboxOrPat(l *List) {
	if p.Peek() != '(' {
		l.Patterns = []string{p.listMailbox()}
		return
	}
	l.Extended = true
	p.list(MaxListPatterns, func() { l.Patterns = append(l.Patterns, p.listMailbox()) })
}

// listMailbox = 1*list-char / string.
func (p *parser) listMailbox() string { return p.pattern(p.bareOr(isListChar, "mailbox pattern")) }

// pattern decodes a pattern or reference name. One that is no modified UTF-7
// is kept as it is: it can match what it spells, and nothing worse.
func (p *parser) pattern(b []byte) string {
	if name, ok := ParseMailbox(b, p.mode.UTF8); ok {
		return name
	}
	return string(b)
}

func (p *parser) listSelectOpt(s *ListSelect) {
	switch p.upper(isWordChar) {
	case "SUBSCRIBED":
		s.Subscribed = true
	case "REMOTE":
		s.Remote = true
	case "RECURSIVEMATCH":
		s.RecursiveMatch = true
	case "SPECIAL-USE":
		s.SpecialUse = true
	default:
		p.Fail("known selection option")
	}
}

func (p *parser) returnOption(r *ListReturn) {
	switch p.upper(isWordChar) {
	case "SUBSCRIBED":
		r.Subscribed = true
	case "CHILDREN":
		r.Children = true
	case "SPECIAL-USE":
		r.SpecialUse = true
	case "STATUS":
		p.sp()
		r.Status = p.statusItems()
	default:
		p.Fail("known return option")
	}
}
