package message

import "encoding/binary"

// Form is what a message says of itself, as AppendForm wrote it; made by
// ParseForm, so that reading it cannot fail. Nothing that is read of it is
// copied: it shares the octets that ParseForm was given.
type Form struct {
	b      []byte
	before int64
}

// ParseForm reads what AppendForm wrote. The structure keeps the invariants of
// the package. The error is ErrForm. b must not be changed afterwards.
func ParseForm(b []byte) (Form, error) {
	if len(b) < 2 || len(b) > MaxForm || b[0] != formVersion || b[1]&^formRepeats != 0 {
		return Form{}, ErrForm
	}
	r := formReader{b: b[2:]}
	r.checkEnvelope(r.list())
	r.checkPart(0, maxOffset, 0)
	if r.bad || r.more() {
		return Form{}, ErrForm
	}
	return Form{b: b}, nil
}

// IsZero reports whether f is no form at all, not even of an empty message.
func (f Form) IsZero() bool { return f.b == nil }

// Behind returns f with all offsets as they are when n octets are put before
// the message: its header still starts at 0.
func (f Form) Behind(n int64) Form { return Form{f.b, f.before + n} }

// Repeats is Message.Repeats.
func (f Form) Repeats() bool { return f.b[1]&formRepeats != 0 }

// Envelope returns the envelope of the message.
func (f Form) Envelope() FormEnvelope {
	r := formReader{b: f.b[2:]}
	return readEnvelope(r.list())
}

// Part returns the root of the message.
func (f Form) Part() FormPart {
	r := formReader{b: f.b[2:]}
	r.list()
	var p FormPart
	p.read(r.list())
	return p
}

// Root returns the tree of parts with its offsets, without envelopes.
func (f Form) Root() *Part {
	p := f.Part()
	root := p.tree(0)
	root.Shift(f.before)
	return root
}

// Text is a string in a Form. The zero Text is one that is not there.
type Text struct {
	octets []byte
	plain  bool
	name   int16 // it is names[name-1]
}

// Octets returns the octets of t, nil if it is not there. They must not be changed.
func (t Text) Octets() []byte { return t.octets }

// Plain reports whether all octets of t are printable US-ASCII other than the
// quotation mark and the backslash: between quotation marks they stand for themselves.
func (t Text) Plain() bool { return t.plain }

// String returns t as a string, "" if it is not there.
func (t Text) String() string {
	if t.name > 0 {
		return names[t.name-1]
	}
	return string(t.octets)
}

// FormEnvelope is Envelope in a Form.
type FormEnvelope struct {
	Date, Subject        Text
	InReplyTo, MessageID Text
	From                 FormAddresses
	Sender, ReplyTo      FormAddresses
	To, Cc, Bcc          FormAddresses
}

func readEnvelope(b []byte) FormEnvelope {
	r := formReader{b: b}
	e := FormEnvelope{Date: r.text(), Subject: r.text(), InReplyTo: r.text(), MessageID: r.text()}
	e.From, e.Sender, e.ReplyTo = FormAddresses{r.list()}, FormAddresses{r.list()}, FormAddresses{r.list()}
	e.To, e.Cc, e.Bcc = FormAddresses{r.list()}, FormAddresses{r.list()}, FormAddresses{r.list()}
	return e
}

// FormAddresses is a list of addresses in a Form.
type FormAddresses struct{ b []byte }

// Empty reports whether there is none.
func (l FormAddresses) Empty() bool { return len(l.b) == 0 }

// Next takes the first address off the list; it is false if there is none.
func (l *FormAddresses) Next() (FormAddress, bool) {
	if len(l.b) == 0 {
		return FormAddress{}, false
	}
	r := formReader{b: l.b}
	a := FormAddress{r.text(), r.text(), r.text(), r.text()}
	l.b = r.rest()
	return a, true
}

// FormAddress is MailAddress in a Form.
type FormAddress struct{ Name, Route, Mailbox, Host Text }

// Group is MailAddress.Group.
func (a FormAddress) Group() GroupMark {
	switch {
	case a.Host.octets != nil:
		return NoGroup
	case a.Mailbox.octets != nil:
		return GroupStart
	}
	return GroupEnd
}

// FormPart is Part in a Form.
type FormPart struct {
	Type, Subtype                       Text
	Encoding, Disposition               Text // not there: 7bit, none
	ID, Description, MD5, Location      Text
	Params, DispositionParams           FormParams
	GivenParams, GivenDispositionParams FormParams // the same as they stand in the fields, save that continuations are joined (RFC 2231)
	Languages                           FormTexts
	Parts                               FormParts
	Size, Lines                         int64

	fromBase, header int64  // Offset less the body of the parent, Body less Offset
	given            uint64 // which of the given parameters differ from the decoded ones
	envelope         []byte
}

// read reads the part that b is.
func (p *FormPart) read(b []byte) {
	r := formReader{b: b}
	r.part(p)
	p.Parts = FormParts{r.rest()}
}

// IsMultipart is Part.IsMultipart.
func (p *FormPart) IsMultipart() bool { return string(p.Type.octets) == "multipart" }

// IsMessage is Part.IsMessage.
func (p *FormPart) IsMessage() bool {
	return string(p.Type.octets) == "message" && (string(p.Subtype.octets) == "rfc822" || string(p.Subtype.octets) == "global")
}

// Envelope returns the envelope of the message within, for which IsMessage says that there is one.
func (p *FormPart) Envelope() FormEnvelope { return readEnvelope(p.envelope) }

// FormParts are the children of a part in a Form.
type FormParts struct{ b []byte }

// Next takes the first part off the list and makes p it; it is false if there is
// none.
func (l *FormParts) Next(p *FormPart) bool {
	if len(l.b) == 0 {
		return false
	}
	r := formReader{b: l.b}
	*p = FormPart{}
	p.read(r.list())
	l.b = r.rest()
	return true
}

// FormTexts is a list of texts in a Form.
type FormTexts struct{ b []byte }

// Empty reports whether there is none.
func (l FormTexts) Empty() bool { return len(l.b) == 0 }

// Next takes the first text off the list; it is false if there is none.
func (l *FormTexts) Next() (Text, bool) {
	if len(l.b) == 0 {
		return Text{}, false
	}
	r := formReader{b: l.b}
	t := r.text()
	l.b = r.rest()
	return t, true
}

// FormParams is a list of parameters in a Form.
type FormParams struct{ b []byte }

// Empty reports whether there is none.
func (l FormParams) Empty() bool { return len(l.b) == 0 }

// Next takes the first parameter off the list; it is false if there is none.
func (l *FormParams) Next() (name, value Text, ok bool) {
	if len(l.b) == 0 {
		return Text{}, Text{}, false
	}
	r := formReader{b: l.b}
	name, value = r.text(), r.text()
	l.b = r.rest()
	return name, value, true
}

// tree makes the Part that p stands for, of which the parent's body starts at base.
func (p *FormPart) tree(base int64) *Part {
	q := &Part{
		Type: p.Type.String(), Subtype: p.Subtype.String(), Encoding: p.Encoding.String(), Disposition: p.Disposition.String(),
		ID: p.ID.String(), Description: p.Description.String(), MD5: p.MD5.String(), Location: p.Location.String(),
		Params: p.Params.all(), DispositionParams: p.DispositionParams.all(), Lines: p.Lines,
	}
	if p.given&hasGiven != 0 {
		q.params = append(given{}, p.GivenParams.all()...)
	}
	if p.given&hasGivenDisposition != 0 {
		q.dispositionParams = append(given{}, p.GivenDispositionParams.all()...)
	}
	for l := p.Languages; ; {
		t, ok := l.Next()
		if !ok {
			break
		}
		q.Languages = append(q.Languages, t.String())
	}
	q.Offset = base + p.fromBase
	q.Body = q.Offset + p.header
	q.End = q.Body + p.Size
	var child FormPart
	for children := p.Parts; children.Next(&child); {
		q.Children = append(q.Children, child.tree(q.Body))
	}
	return q
}

func (l FormParams) all() []Param {
	var ps []Param
	for name, value, ok := l.Next(); ok; name, value, ok = l.Next() {
		ps = append(ps, Param{name.String(), value.String()})
	}
	return ps
}

// maxOffset bounds offsets so that no sum of them overflows.
const maxOffset = 1 << 56

// formReader reads an encoded form from left to right. Its first failure sticks.
type formReader struct {
	b         []byte
	at        int
	parts     int // seen by checkPart
	addresses int // seen by checkEnvelope
	bad       bool
}

func (r *formReader) more() bool { return r.at < len(r.b) }

func (r *formReader) rest() []byte { return r.b[r.at:] }

// checkEnvelope reads an envelope.
func (r *formReader) checkEnvelope(b []byte) {
	in := formReader{b: b}
	for range 4 {
		in.skipText()
	}
	for range 6 {
		n := in.number()
		if n > uint64(len(in.b)-in.at) {
			in.fail()
		}
		for end := in.at + int(n); in.at < end && !in.bad; {
			in.skipText()
			in.skipText()
			mailbox, host := in.skipText(), in.skipText()
			if r.addresses++; r.addresses > MaxAddresses || host && !mailbox || in.at > end {
				in.fail()
			}
		}
	}
	if in.bad || in.more() {
		r.fail()
	}
}

// checkPart reads a part that lies in a body of size octets behind those up to
// from, and returns where it ends.
func (r *formReader) checkPart(from, size int64, depth int) int64 {
	var p FormPart
	in := formReader{b: r.list(), parts: r.parts + 1, addresses: r.addresses}
	in.part(&p)
	end := p.fromBase + p.header + p.Size
	if in.parts > 2*MaxParts || depth > MaxDepth || p.fromBase < from || end > size {
		in.fail()
	}
	for _, l := range [...]FormParams{p.Params, p.GivenParams, p.DispositionParams, p.GivenDispositionParams} {
		in.checkTexts(l.b, 2, MaxParams)
	}
	in.checkTexts(p.Languages.b, 1, MaxLanguages)
	if p.envelope != nil {
		in.checkEnvelope(p.envelope)
	}
	children := 0
	for at := int64(0); in.more(); children++ {
		at = in.checkPart(at, p.Size, depth+1)
	}
	switch {
	case p.IsMultipart() && children > 0 && p.envelope == nil:
	case p.IsMessage() && children == 1 && p.envelope != nil:
	case !p.IsMultipart() && !p.IsMessage() && children == 0 && p.envelope == nil:
	default:
		in.fail()
	}
	r.parts, r.addresses = in.parts, in.addresses
	if in.bad {
		r.fail()
	}
	return end
}

// checkTexts reads a list of at most limit elements, each of n texts.
func (r *formReader) checkTexts(b []byte, n, limit int) {
	in := formReader{b: b}
	for i := 0; in.more(); i++ {
		for range n {
			in.skipText()
		}
		if i == limit {
			in.fail()
		}
	}
	r.bad = r.bad || in.bad
}

// part reads the fields of a part; its children are left.
func (r *formReader) part(p *FormPart) {
	m := r.number()
	if m>>maskBits != 0 {
		r.fail()
	}
	p.Type, p.Subtype = r.text(), r.text()
	p.fromBase, p.header, p.Size, p.Lines = r.offset(), r.offset(), r.offset(), r.offset()
	if m&hasParams != 0 {
		p.Params = FormParams{r.list()}
	}
	p.GivenParams = p.Params
	if m&hasEncoding != 0 {
		p.Encoding = r.text()
	}
	if m&^(hasParams|hasEncoding) != 0 {
		r.rareFields(p, m)
	}
}

// rareFields reads those that a plain text does not have.
func (r *formReader) rareFields(p *FormPart, m uint64) {
	if m&hasDisposition != 0 {
		p.Disposition = r.text()
	}
	if m&hasDispositionParams != 0 {
		p.DispositionParams = FormParams{r.list()}
	}
	p.given, p.GivenDispositionParams = m&(hasGiven|hasGivenDisposition), p.DispositionParams
	if m&hasGiven != 0 {
		p.GivenParams = FormParams{r.list()}
	}
	if m&hasGivenDisposition != 0 {
		p.GivenDispositionParams = FormParams{r.list()}
	}
	if m&hasID != 0 {
		p.ID = r.text()
	}
	if m&hasDescription != 0 {
		p.Description = r.text()
	}
	if m&hasMD5 != 0 {
		p.MD5 = r.text()
	}
	if m&hasLocation != 0 {
		p.Location = r.text()
	}
	if m&hasLanguages != 0 {
		p.Languages = FormTexts{r.list()}
	}
	if m&hasEnvelope != 0 {
		p.envelope = r.list()
	}
}

func (r *formReader) text() Text {
	n := r.number()
	switch {
	case n == 0:
		return Text{}
	case n&1 != 0:
		if n >>= 1; n < uint64(len(names)) {
			return Text{octets: nameOctets[n], plain: true, name: int16(n) + 1}
		}
		r.fail()
		return Text{}
	}
	return Text{octets: r.take(n >> 2), plain: n&2 != 0}
}

// skipText steps over a text and reports whether it is there.
func (r *formReader) skipText() bool {
	n := r.number()
	switch {
	case n&1 != 0:
		if n>>1 >= uint64(len(names)) {
			r.fail()
		}
	case n>>2 > uint64(len(r.b)-r.at):
		r.fail()
	default:
		r.at += int(n >> 2)
	}
	return n != 0
}

func (r *formReader) list() []byte { return r.take(r.number()) }

func (r *formReader) take(n uint64) []byte {
	if n > uint64(len(r.b)-r.at) {
		r.fail()
		return nil
	}
	end := r.at + int(n)
	b := r.b[r.at:end:end]
	r.at = end
	return b
}

func (r *formReader) offset() int64 {
	n := r.number()
	if n > maxOffset {
		r.fail()
		return 0
	}
	return int64(n)
}

func (r *formReader) number() uint64 {
	if r.at < len(r.b) && r.b[r.at] < 0x80 {
		r.at++
		return uint64(r.b[r.at-1])
	}
	return r.longNumber()
}

func (r *formReader) longNumber() uint64 {
	n, size := binary.Uvarint(r.b[r.at:])
	if size <= 0 {
		r.fail()
		return 0
	}
	r.at += size
	return n
}

func (r *formReader) fail() { r.bad, r.at = true, len(r.b) }
