package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
)

// report is a delivery report (RFC 3464), read with Go's own library.
type report struct {
	text       string               // for people
	message    textproto.MIMEHeader // of the whole message
	recipients []textproto.MIMEHeader
	returned   string // the message, or its header
}

// readReport reads octets, which must be a delivery report of three parts in a
// multipart of that type, and from nobody.
func readReport(t testing.TB, want string, octets []byte) (r report) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(octets))
	if err != nil {
		t.Fatal(err)
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != want || kind == "multipart/report" && !strings.HasSuffix(parameters["report-type"], "delivery-status") {
		t.Fatalf("a report of type %q, %v:\n%.3000s", m.Header.Get("Content-Type"), err, octets)
	}
	if from, given := m.Header["Return-Path"]; given && from[0] != "<>" {
		t.Errorf("the report came from %q", from)
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	for i, want := range [][]string{
		{"text/plain"}, {"message/delivery-status", "message/global-delivery-status"},
		{"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"},
	} {
		content := r.part(t, parts, want)
		switch i {
		case 0:
			r.text = content
		case 1:
			r.fields(t, content)
		case 2:
			r.returned = content
		}
	}
	if _, err := parts.NextPart(); err != io.EOF {
		t.Errorf("after the third part: %v", err)
	}
	return r
}

// part reads the next part, which must be of one of these types.
func (*report) part(t testing.TB, parts *multipart.Reader, types []string) string {
	t.Helper()
	p, err := parts.NextPart()
	if err != nil {
		t.Fatalf("no part of the types %s: %v", types, err)
	}
	kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
	if err != nil || !strings.Contains(strings.Join(types, " ")+" ", kind+" ") {
		t.Errorf("a part of the type %q, %v; want one of %s", kind, err, types)
	}
	content, err := io.ReadAll(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// fields reads the groups of fields: of the message, then of each recipient.
func (r *report) fields(t testing.TB, content string) {
	t.Helper()
	reader := textproto.NewReader(bufio.NewReader(strings.NewReader(strings.TrimRight(content, "\r\n") + "\r\n\r\n")))
	for i := 0; ; i++ {
		group, err := reader.ReadMIMEHeader()
		if errors.Is(err, io.EOF) && len(group) == 0 {
			return
		}
		if err != nil {
			t.Fatalf("the fields: %v\n%s", err, content)
		}
		if i == 0 {
			r.message = group
			continue
		}
		r.recipients = append(r.recipients, group)
	}
}

// told is what a report must say of one recipient: each field contains the text.
type told map[string]string

// check compares the groups of the recipients, in order.
func (r report) check(t testing.TB, want ...told) {
	t.Helper()
	if len(r.recipients) != len(want) {
		t.Fatalf("the report tells of %d recipients, want %d: %v", len(r.recipients), len(want), r.recipients)
	}
	for i, fields := range want {
		for name, text := range fields {
			if got := r.recipients[i].Get(name); !strings.Contains(got, text) {
				t.Errorf("recipient %d: %s is %q, want %q in it", i, name, got, text)
			}
		}
	}
}

// report waits for the one report about the letter in the account's INBOX,
// which we wrote.
func (o *office) report(account string, l letter) report {
	o.t.Helper()
	return o.reportOf(abilities{}, account, l)
}

// reportOf is like report for what a peer wrote.
func (o *office) reportOf(peer abilities, account string, l letter) report {
	o.t.Helper()
	octets := o.awaits(account, l.id())
	if !bytes.HasPrefix(octets, []byte("Return-Path: <>\r\n")) {
		o.t.Errorf("the report is not from <>:\n%.500s", octets)
	}
	return readReport(o.t, peer.multipart(), octets)
}

func (a abilities) multipart() string {
	if a.mixed {
		return "multipart/mixed"
	}
	return "multipart/report"
}

// report waits for the one report about the letter in the user's Maildir, which
// the peer wrote or we did.
func (p *peer) report(user string, l letter, writer abilities) report {
	p.t.Helper()
	var got []byte
	eventually(p.t, func() (err error) {
		got, err = single(p.mailbox(user), l.id())
		return err
	})
	return readReport(p.t, writer.multipart(), got)
}
