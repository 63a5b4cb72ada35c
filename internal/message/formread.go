package message

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// Form is what a message says of itself, as AppendForm wrote it. Nothing that is
// read of it is copied: it shares the octets that ParseForm was given. Reading
// never fails; Check tells of what nothing but AppendForm could have done wrong.
type Form struct {
	b      []byte
	before int64
}

// ParseForm takes what AppendForm wrote, in constant memory and little time: its
// checksum is looked at, not what it says. The error is ErrForm. b must not be
// changed afterwards.
func ParseForm(b []byte) (Form, error) {
	if len(b) < formHead || len(b) > MaxForm || b[0] != formVersion || b[1]&^formRepeats != 0 ||
		binary.BigEndian.Uint32(b[2:]) != crc32.Checksum(b[formHead:], castagnoli) {
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
func (f Form) Envelope() FormEnvelope { return envelopeAt(f.b, formHead) }

// Part returns the root of the message.
func (f Form) Part() (p FormPart) {
	r := formReader{b: f.b, at: formHead}
	r.skipList()
	p.read(r.list(), 0)
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
	From                 FormAddresses
	Sender, ReplyTo      FormAddresses
	To, Cc, Bcc          FormAddresses
	InReplyTo, MessageID Text
}

// envelopeAt reads the envelope that is the list at a place of b.
func envelopeAt(b []byte, at int) (e FormEnvelope) {
	r := formReader{b: b, at: at}
	r = formReader{b: r.list()}
	e.Date, e.Subject, e.InReplyTo, e.MessageID = r.text(), r.text(), r.text(), r.text()
	e.From.b, e.Sender.b, e.ReplyTo.b = r.list(), r.list(), r.list()
	e.To.b, e.Cc.b, e.Bcc.b = r.list(), r.list(), r.list()
	return e
}

// FormAddresses is a list of addresses in a Form.
type FormAddresses formReader

// Empty reports whether none is left.
func (l *FormAddresses) Empty() bool { return l.at >= len(l.b) }

// Next takes the first address off the list; it is false if there is none.
func (l *FormAddresses) Next() (FormAddress, bool) {
	r := (*formReader)(l)
	if !r.more() {
		return FormAddress{}, false
	}
	return FormAddress{r.text(), r.text(), r.text(), r.text()}, true
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

// FormPart is Part in a Form. Its methods are called as the fields of Part are.
type FormPart struct {
	Size, Lines int64 // octets and lines of the body

	b                []byte
	fields           [formFields]int32 // where they stand in b; 0 is nowhere
	kind, subtype    int32             // likewise
	parts            int32
	fromBase, header int64 // Offset less the body of the parent, Body less Offset
	depth            int
	plain            bool
}

// read reads the part that b is.
func (p *FormPart) read(b []byte, depth int) {
	r := formReader{b: b}
	m := uint(r.number())
	p.b, p.depth = b, depth
	p.kind = int32(r.at)
	r.skipText()
	p.subtype = int32(r.at)
	r.skipText()
	p.fromBase, p.header, p.Size, p.Lines = r.offset(), r.offset(), r.offset(), r.offset()
	p.plain = m&^(1<<formParams|1<<formEncoding) == 0
	for m &= 1<<formFields - 1; m != 0; m &= m - 1 {
		i := bits.TrailingZeros(m)
		p.fields[i] = int32(r.at)
		if formLists>>i&1 != 0 {
			r.skipList()
		} else {
			r.skipText()
		}
	}
	p.parts = int32(r.at)
}

// textOf and listOf read a field.
func (p *FormPart) textOf(field int) Text {
	if p.fields[field] == 0 {
		return Text{}
	}
	r := formReader{b: p.b, at: int(p.fields[field])}
	return r.text()
}

func (p *FormPart) listOf(field int) formReader {
	if p.fields[field] == 0 {
		return formReader{}
	}
	r := formReader{b: p.b, at: int(p.fields[field])}
	return formReader{b: r.list()}
}

func (p *FormPart) Type() Text {
	r := formReader{b: p.b, at: int(p.kind)}
	return r.text()
}

func (p *FormPart) Subtype() Text {
	r := formReader{b: p.b, at: int(p.subtype)}
	return r.text()
}

func (p *FormPart) Encoding() Text    { return p.textOf(formEncoding) }
func (p *FormPart) Disposition() Text { return p.textOf(formDisposition) }
func (p *FormPart) ID() Text          { return p.textOf(formID) }
func (p *FormPart) Description() Text { return p.textOf(formDescription) }
func (p *FormPart) MD5() Text         { return p.textOf(formMD5) }
func (p *FormPart) Location() Text    { return p.textOf(formLocation) }

func (p *FormPart) Params() FormParams            { return FormParams(p.listOf(formParams)) }
func (p *FormPart) DispositionParams() FormParams { return FormParams(p.listOf(formDispositionParams)) }
func (p *FormPart) Languages() FormTexts          { return FormTexts(p.listOf(formLanguages)) }

// GivenParams returns the parameters of the content type as they stand in the
// field, except that continuations are one: octets, charsets and languages are
// those of the sender. Names can end in "*" (RFC 2231 §4).
func (p *FormPart) GivenParams() FormParams {
	if p.fields[formGivenParams] == 0 {
		return p.Params()
	}
	return FormParams(p.listOf(formGivenParams))
}

// GivenDispositionParams is GivenParams for the content disposition.
func (p *FormPart) GivenDispositionParams() FormParams {
	if p.fields[formGivenDispositionParams] == 0 {
		return p.DispositionParams()
	}
	return FormParams(p.listOf(formGivenDispositionParams))
}

// IsPlain reports whether of all that a part may have or not this has no more than
// Params and Encoding.
func (p *FormPart) IsPlain() bool { return p.plain }

// IsMultipart is Part.IsMultipart.
func (p *FormPart) IsMultipart() bool { return string(p.Type().octets) == "multipart" }

// IsMessage is Part.IsMessage.
func (p *FormPart) IsMessage() bool { return p.fields[formEnvelope] != 0 }

// Envelope returns the envelope of the message within, if IsMessage.
func (p *FormPart) Envelope() FormEnvelope { return envelopeAt(p.b, int(p.fields[formEnvelope])) }

// Parts returns the children.
func (p *FormPart) Parts() FormParts {
	return FormParts{list: formReader{b: p.b, at: int(p.parts)}, depth: p.depth + 1}
}

// FormParts are the children of a part in a Form.
type FormParts struct {
	list  formReader
	depth int
}

// Next takes the first part off the list and makes p it; it is false if there is
// none.
func (l *FormParts) Next(p *FormPart) bool {
	if !l.list.more() || l.depth > MaxDepth {
		return false
	}
	*p = FormPart{}
	p.read(l.list.list(), l.depth)
	return true
}

// FormTexts is a list of texts in a Form.
type FormTexts formReader

// Empty reports whether none is left.
func (l *FormTexts) Empty() bool { return l.at >= len(l.b) }

// Next takes the first text off the list; it is false if there is none.
func (l *FormTexts) Next() (Text, bool) {
	r := (*formReader)(l)
	if !r.more() {
		return Text{}, false
	}
	return r.text(), true
}

// FormParams is a list of parameters in a Form.
type FormParams formReader

// Empty reports whether none is left.
func (l *FormParams) Empty() bool { return l.at >= len(l.b) }

// Next takes the first parameter off the list; it is false if there is none.
func (l *FormParams) Next() (name, value Text, ok bool) {
	r := (*formReader)(l)
	if !r.more() {
		return Text{}, Text{}, false
	}
	return r.text(), r.text(), true
}

// tree makes the Part that p stands for, of which the parent's body starts at base.
func (p *FormPart) tree(base int64) *Part {
	q := &Part{
		Type: p.Type().String(), Subtype: p.Subtype().String(), Encoding: p.Encoding().String(), Disposition: p.Disposition().String(),
		ID: p.ID().String(), Description: p.Description().String(), MD5: p.MD5().String(), Location: p.Location().String(),
		Params: p.Params().all(), DispositionParams: p.DispositionParams().all(), Lines: p.Lines,
	}
	if p.fields[formGivenParams] != 0 {
		q.params = append(given{}, p.GivenParams().all()...)
	}
	if p.fields[formGivenDispositionParams] != 0 {
		q.dispositionParams = append(given{}, p.GivenDispositionParams().all()...)
	}
	languages := p.Languages()
	for l, ok := languages.Next(); ok; l, ok = languages.Next() {
		q.Languages = append(q.Languages, l.String())
	}
	q.Offset = base + p.fromBase
	q.Body = q.Offset + p.header
	q.End = q.Body + p.Size
	var child FormPart
	for children := p.Parts(); children.Next(&child); {
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

// formReader reads an encoded form, or a list in one, from left to right. What
// does not fit is the end.
type formReader struct {
	b   []byte
	at  int
	bad bool // something did not fit
}

func (r *formReader) more() bool { return r.at < len(r.b) }

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

func (r *formReader) skipText() {
	if n := r.number(); n&1 == 0 {
		r.skip(n >> 2)
	}
}

func (r *formReader) skipList() { r.skip(r.number()) }

func (r *formReader) skip(n uint64) {
	if n > uint64(len(r.b)-r.at) {
		r.fail()
		return
	}
	r.at += int(n)
}

func (r *formReader) offset() int64 {
	n := r.number()
	if n > maxOffset {
		r.fail()
		return 0
	}
	return int64(n)
}

// maxOffset bounds offsets so that no sum of them overflows.
const maxOffset = 1 << 56

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
