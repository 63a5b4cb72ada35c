package message

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
)

// encodedBodies are bodies in each encoding, sound and broken.
func encodedBodies() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	text := make([]byte, 40<<10)
	for i := range text {
		text[i] = "abcdefg \n\r=\x00\xff"[r.IntN(13)]
	}
	var qp bytes.Buffer
	w := quotedprintable.NewWriter(&qp)
	_, _ = w.Write(text)
	_ = w.Close()
	uu := "begin 644 x\n" + strings.Repeat("M"+strings.Repeat("86)C", 15)+"\n", 700) + "end\n"
	return map[string][]byte{
		"base64": []byte(base64.StdEncoding.EncodeToString(text) + "==\r\nYWJj!ZA\r\n"), "quoted-printable": qp.Bytes(),
		"x-uuencode": []byte(uu), "8bit": text, "": text,
	}
}

// Whatever place a Decoder goes on from, it reads what one from the start does.
func TestDecoderGoesOn(t *testing.T) {
	for encoding, body := range encodedBodies() {
		for _, lines := range []bool{false, true} {
			d := NewDecoder(iotest.OneByteReader(bytes.NewReader(body)), encoding)
			if lines {
				d.SetLines()
			}
			d.Note(1000)
			whole, err := io.ReadAll(d)
			if places := d.Places(); err != nil || len(places) < 20 || len(places) > len(whole)/1000 {
				t.Fatalf("%s: %d places in %d octets, %v", encoding, len(places), len(whole), err)
			}
			for _, p := range d.Places() {
				again := NewDecoder(bytes.NewReader(body[p.Raw:]), encoding)
				if lines {
					again.SetLines()
				}
				again.Resume(p)
				rest, err := io.ReadAll(again)
				if err != nil || !bytes.Equal(rest, whole[p.Decoded:]) {
					t.Fatalf("%s, lines %v: from %d on differs, %v", encoding, lines, p.Decoded, err)
				}
			}
			want := whole
			if lines {
				plain, _ := io.ReadAll(NewDecoder(bytes.NewReader(body), encoding))
				want = bytes.ReplaceAll(bytes.ReplaceAll(plain, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
			}
			if !bytes.Equal(whole, want) {
				t.Errorf("%s, lines %v: decoded otherwise", encoding, lines)
			}
		}
	}
}

func TestDecoderFailsAsItsSourceDoes(t *testing.T) {
	for encoding, body := range encodedBodies() {
		broken := fmt.Errorf("the disk is gone")
		d := NewDecoder(io.MultiReader(bytes.NewReader(body[:5000]), iotest.ErrReader(broken)), encoding)
		if got, err := io.ReadAll(d); err != broken || len(got) == 0 {
			t.Errorf("%s: %d octets, %v", encoding, len(got), err)
		}
	}
}
