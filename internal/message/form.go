package message

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/bits"
)

// formVersion is the first octet of a Form, and formHead how many octets stand
// before the envelope.
const (
	formVersion = 1
	formHead    = 6
)

// formRepeats is the flag of a Form that is Message.Repeats.
const formRepeats = 1

// ErrForm says that octets are not what AppendForm wrote.
var ErrForm = errors.New("message: not an encoded form")

// The fields of a part that it may have or not, in their order, which is that of
// the bits of its mask. Those that many parts have stand in its first octet.
const (
	formParams = iota
	formEncoding
	formDisposition
	formDispositionParams
	formGivenParams
	formGivenDispositionParams
	formID
	formDescription
	formMD5
	formLocation
	formLanguages
	formEnvelope
	formFields
)

// formLists has the bits of the fields that are lists; the others are texts.
const formLists = 1<<formParams | 1<<formDispositionParams | 1<<formGivenParams | 1<<formGivenDispositionParams |
	1<<formLanguages | 1<<formEnvelope

// AppendForm appends what m says of itself in the form in which it is kept
// beside the octets: Envelope, Root with all below it, and Repeats. ParseForm
// reads it. A form has no word of any protocol in it. It takes about 20 octets
// beside those of the fields that it holds.
//
// A form is formVersion, flags, the CRC-32C of all that follows, in four octets,
// the envelope as a list, and the root part.
//
//   - The envelope: the texts Date, Subject, InReplyTo, MessageID; then From,
//     Sender, ReplyTo, To, Cc, Bcc, each a list of addresses.
//   - An address: the texts Name, Route, Mailbox, Host.
//   - A part: a list of the mask, the texts Type and Subtype, the numbers
//     Offset - (Body of the parent), Body - Offset, End - Body, Lines, the fields of
//     the mask, and the children to its end.
//   - A list: the number of its octets, and they. So a reader steps over what it
//     does not want.
//   - A number: a varint.
//   - A text: a number, and octets. It is 0 for nil, 2*i+1 for names[i], 4*n+2
//     for n octets that are plain (Text.Plain), 4*n for n octets that are not.
func AppendForm(dst []byte, m *Message) []byte {
	flags := byte(0)
	if m.Repeats {
		flags |= formRepeats
	}
	start := len(dst)
	dst = append(dst, formVersion, flags, 0, 0, 0, 0)
	dst = appendPart(appendEnvelope(dst, m.Envelope), m.Root, 0)
	binary.BigEndian.PutUint32(dst[start+2:], crc32.Checksum(dst[start+formHead:], castagnoli))
	return dst
}

// castagnoli makes the CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendEnvelope(dst []byte, e *Envelope) []byte {
	start := len(dst)
	for _, text := range [...][]byte{e.Date, e.Subject, e.InReplyTo, e.MessageID} {
		dst = appendText(dst, text)
	}
	for _, list := range [...][]MailAddress{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		from := len(dst)
		for i := range list {
			a := &list[i]
			dst = appendText(appendText(dst, a.Name), a.Route)
			dst = appendText(appendText(dst, a.Mailbox), a.Host)
		}
		dst = closeList(dst, from)
	}
	return closeList(dst, start)
}

// appendPart appends p, of which the parent's body starts at base.
func appendPart(dst []byte, p *Part, base int64) []byte {
	start := len(dst)
	m := p.mask()
	dst = binary.AppendUvarint(dst, uint64(m))
	dst = appendWord(appendWord(dst, p.Type), p.Subtype)
	for _, n := range [...]int64{p.Offset - base, p.Body - p.Offset, p.End - p.Body, p.Lines} {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	for ; m != 0; m &= m - 1 {
		switch bits.TrailingZeros(m) {
		case formParams:
			dst = appendParams(dst, p.Params)
		case formEncoding:
			dst = appendWord(dst, p.Encoding)
		case formDisposition:
			dst = appendWord(dst, p.Disposition)
		case formDispositionParams:
			dst = appendParams(dst, p.DispositionParams)
		case formGivenParams:
			dst = appendParams(dst, p.params)
		case formGivenDispositionParams:
			dst = appendParams(dst, p.dispositionParams)
		case formID:
			dst = appendWord(dst, p.ID)
		case formDescription:
			dst = appendWord(dst, p.Description)
		case formMD5:
			dst = appendWord(dst, p.MD5)
		case formLocation:
			dst = appendWord(dst, p.Location)
		case formLanguages:
			from := len(dst)
			for _, l := range p.Languages {
				dst = appendWord(dst, l)
			}
			dst = closeList(dst, from)
		case formEnvelope:
			dst = appendEnvelope(dst, p.Envelope)
		}
	}
	for _, c := range p.Children {
		dst = appendPart(dst, c, p.Body)
	}
	return closeList(dst, start)
}

// mask says which fields p has.
func (p *Part) mask() uint {
	var m uint
	for field, has := range [formFields]bool{
		formParams: len(p.Params) > 0, formEncoding: p.Encoding != "", formDisposition: p.Disposition != "",
		formDispositionParams: len(p.DispositionParams) > 0, formGivenParams: p.params != nil,
		formGivenDispositionParams: p.dispositionParams != nil, formID: p.ID != "", formDescription: p.Description != "",
		formMD5: p.MD5 != "", formLocation: p.Location != "", formLanguages: len(p.Languages) > 0, formEnvelope: p.Envelope != nil,
	} {
		if has {
			m |= 1 << field
		}
	}
	return m
}

func appendParams(dst []byte, ps []Param) []byte {
	start := len(dst)
	for _, p := range ps {
		dst = appendWord(appendWord(dst, p.Name), p.Value)
	}
	return closeList(dst, start)
}

// closeList makes what stands in dst from start on a list.
func closeList(dst []byte, start int) []byte {
	n := len(dst) - start
	if n < 0x80 { // Nearly all.
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = byte(n)
		return dst
	}
	var head [binary.MaxVarintLen64]byte
	k := binary.PutUvarint(head[:], uint64(n))
	dst = append(dst, head[:k]...)
	copy(dst[start+k:], dst[start:start+n])
	copy(dst[start:], head[:k])
	return dst
}

// appendWord appends a text that may be one of names.
func appendWord(dst []byte, s string) []byte {
	if len(s) <= longestName {
		if i, ok := nameIndex[s]; ok {
			return binary.AppendUvarint(dst, uint64(i)<<1|1)
		}
	}
	return appendOctets(dst, s)
}

// appendText appends a text that is none of names, or nil.
func appendText(dst, b []byte) []byte {
	if b == nil {
		return append(dst, 0)
	}
	return appendOctets(dst, b)
}

func appendOctets[T string | []byte](dst []byte, s T) []byte {
	head := uint64(len(s)) << 2
	if standsAlone(s) {
		head |= 2
	}
	return append(binary.AppendUvarint(dst, head), s...)
}

// standsAlone is Text.Plain for s.
func standsAlone[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
