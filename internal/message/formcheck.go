package message

// Check reads all of f and reports whether it keeps to the format and its
// structure to the invariants of the package. The error is ErrForm.
func (f Form) Check() error {
	c := formChecker{}
	r := formReader{b: f.b, at: formHead}
	c.envelope(r.list())
	c.part(r.list(), 0, maxOffset, 0)
	if c.bad || r.bad || r.more() {
		return ErrForm
	}
	return nil
}

// formChecker is one Check.
type formChecker struct {
	parts     int // seen so far
	addresses int
	bad       bool
}

// require notes if something is not as it must be.
func (c *formChecker) require(ok bool) { c.bad = c.bad || !ok }

func (c *formChecker) envelope(b []byte) {
	r := formReader{b: b}
	for range 4 {
		r.text()
	}
	for range 6 {
		list := FormAddresses{b: r.list()}
		for a, ok := list.Next(); ok; a, ok = list.Next() {
			c.addresses++
			c.require(a.Host.octets == nil || a.Mailbox.octets != nil)
		}
		c.require(!list.bad)
	}
	c.require(!r.bad && !r.more() && c.addresses <= MaxAddresses)
}

// part checks the part b, which lies in a body of size octets behind those up to
// from, and returns where it ends.
func (c *formChecker) part(b []byte, from, size int64, depth int) int64 {
	if c.parts++; c.parts > 2*MaxParts || depth > MaxDepth {
		c.bad = true
		return size
	}
	var p FormPart
	p.read(b, depth)
	end := p.fromBase + p.header + p.Size
	r := formReader{b: b}
	c.require(r.number()>>formFields == 0 && p.fromBase >= from && end <= size)
	r.text()
	r.text()
	for range 4 {
		r.offset()
	}
	for field, at := range p.fields {
		switch {
		case at == 0:
		case formLists>>field&1 == 0:
			r.text()
		case field == formEnvelope:
			c.envelope(r.list())
		case field == formLanguages:
			c.texts(r.list(), 1, MaxLanguages)
		default:
			c.texts(r.list(), 2, MaxParams)
		}
	}
	children := 0
	for at := int64(0); r.more() && !c.bad; children++ {
		at = c.part(r.list(), at, p.Size, depth+1)
	}
	c.require(!r.bad)
	isMessage := string(p.Type().octets) == "message" && (string(p.Subtype().octets) == "rfc822" || string(p.Subtype().octets) == "global")
	switch {
	case p.IsMultipart():
		c.require(children > 0 && !p.IsMessage())
	case isMessage:
		c.require(children == 1 && p.IsMessage())
	default:
		c.require(children == 0 && !p.IsMessage())
	}
	return end
}

// texts checks a list of at most limit elements, each of n texts.
func (c *formChecker) texts(b []byte, n, limit int) {
	r := formReader{b: b}
	elements := 0
	for ; r.more(); elements++ {
		for range n {
			r.text()
		}
	}
	c.require(!r.bad && elements <= limit)
}
