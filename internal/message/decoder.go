package message

import (
	"bytes"
	"io"
	"slices"

	"golang.org/x/text/transform"
)

// A Decoder reads octets out of a content transfer encoding (RFC 2045 §6). It
// can note places from which another one can go on, so that the end of a long
// body can be had without decoding all that stands before it.
type Decoder struct {
	r      io.Reader
	t      transfer // nil where octets stand for themselves
	lines  bool     // each line ends in CRLF
	lastCR bool     // the last octet of text was CR; only if lines

	src    []byte // encoded octets; those from at are not decoded yet
	at     int
	srcErr error
	dst    []byte
	text   []byte // decoded and not read yet
	crlf   []byte // room for text if lines
	err    error  // after text

	raw, decoded int64 // octets taken and made so far
	every        int64 // octets between places; 0 notes none
	places       []Place
}

const decodeBuffer = 4 << 10 // octets, of what is encoded and what is not

// transfer is a transformer whose state can be copied.
type transfer interface {
	transform.Transformer
	clone() transfer
}

func (d *base64Decoder) clone() transfer { c := *d; return &c }
func (d qpDecoder) clone() transfer      { return d }
func (d *uuDecoder) clone() transfer     { c := *d; return &c }

// Place is where a Decoder was between two reads. It belongs to one body, one
// encoding and one kind of line ends.
type Place struct {
	Raw     int64 // octets of the encoded body before it
	Decoded int64 // and of the decoded one
	t       transfer
	lastCR  bool
}

// NewDecoder returns a reader of the octets that r has in the content transfer
// encoding called encoding. It never fails but as r does: base64 skips what is
// not of the alphabet and goes on after padding, quoted-printable leaves broken
// escapes as they are, an unknown encoding is no encoding.
func NewDecoder(r io.Reader, encoding string) *Decoder {
	return &Decoder{r: r, t: newTransfer(encoding)}
}

// SetLines puts a CR before each LF that has none. It is called before the
// first Read.
func (d *Decoder) SetLines() { d.lines = true }

// Note has places noted, every so many decoded octets. It is called before the
// first Read.
func (d *Decoder) Note(every int64) { d.every = every }

// Places returns what was noted, in order. It belongs to the caller.
func (d *Decoder) Places() []Place { return slices.Clip(d.places) }

// Resume makes d, which was not read yet, go on at p, of which it may be one of
// many users. Its source gives the octets after p.Raw.
func (d *Decoder) Resume(p Place) {
	d.raw, d.decoded, d.lastCR = p.Raw, p.Decoded, p.lastCR
	if p.t != nil {
		d.t = p.t.clone()
	}
}

// Read implements io.Reader.
func (d *Decoder) Read(p []byte) (int, error) {
	if d.t == nil && !d.lines && d.every == 0 {
		return d.r.Read(p)
	}
	if d.dst == nil {
		d.dst = make([]byte, decodeBuffer)
	}
	for len(d.text) == 0 && d.err == nil {
		d.note()
		if d.t == nil {
			d.copy()
		} else {
			d.decode()
		}
		if d.lines {
			d.endLines()
		}
		d.decoded += int64(len(d.text))
	}
	if len(d.text) == 0 {
		return 0, d.err
	}
	n := copy(p, d.text)
	d.text = d.text[n:]
	return n, nil
}

// note notes this place, if it is one to be noted.
func (d *Decoder) note() {
	last := int64(0)
	if n := len(d.places); n > 0 {
		last = d.places[n-1].Decoded
	}
	if d.every == 0 || d.decoded < last+d.every {
		return
	}
	p := Place{Raw: d.raw, Decoded: d.decoded, lastCR: d.lastCR}
	if d.t != nil {
		p.t = d.t.clone()
	}
	d.places = append(d.places, p)
}

// copy reads octets that stand for themselves.
func (d *Decoder) copy() {
	n, err := d.r.Read(d.dst)
	d.raw += int64(n)
	d.text, d.err = d.dst[:n], err
}

// decode decodes what is there, after reading more if that is not enough.
func (d *Decoder) decode() {
	if len(d.src) > d.at || d.srcErr != nil {
		n, took, err := d.t.Transform(d.dst, d.src[d.at:], d.srcErr == io.EOF)
		d.text = d.dst[:n]
		d.at, d.raw = d.at+took, d.raw+int64(took)
		switch {
		case err == nil:
			d.err = d.srcErr
			return
		case err == transform.ErrShortDst && n+took > 0:
			return
		case err != transform.ErrShortSrc || d.srcErr != nil || len(d.src)-d.at == decodeBuffer:
			if d.err = err; d.srcErr != nil && d.srcErr != io.EOF {
				d.err = d.srcErr
			}
			return
		}
	}
	if d.src == nil {
		d.src = make([]byte, 0, decodeBuffer)
	}
	left := copy(d.src[:cap(d.src)], d.src[d.at:])
	n, err := d.r.Read(d.src[left:cap(d.src)])
	d.src, d.at, d.srcErr = d.src[:left+n], 0, err
}

// endLines puts a CR before each LF of the text that has none.
func (d *Decoder) endLines() {
	out := d.crlf[:0]
	for text := d.text; len(text) > 0; {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			out = append(out, text...)
			d.lastCR = text[len(text)-1] == '\r'
			break
		}
		out = append(out, text[:i]...)
		if i == 0 && !d.lastCR || i > 0 && text[i-1] != '\r' {
			out = append(out, '\r')
		}
		out = append(out, '\n')
		d.lastCR = false
		text = text[i+1:]
	}
	d.text, d.crlf = out, out
}
