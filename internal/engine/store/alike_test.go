package store_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/message"
	"yubin/internal/testkit/mailgen"
)

// TestReadsAlike: a message is the same whether it was delivered, appended or
// imported, and what the store says of it is what a reader of its octets finds.
func TestReadsAlike(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	box := h.box(a, mail.Inbox)
	g := mailgen.New(5, false)
	traced := h.inbox(a)
	traced.Trace = []byte("Return-Path: <a@b>\r\nDelivered-To: c@d\r\nReceived: from x by y;\r\n\tMon, 1 Jan 2024 10:00:00 +0100\r\n")
	for range mailgen.Kinds() {
		m := g.Next()
		delivered := h.deliver(string(m.Octets), traced)[0].UID
		appended := h.deliver(string(m.Octets), h.inbox(a))[0].UID
		in := h.NewIncoming()
		_, err := in.Write(m.Octets)
		h.must(err)
		filed, err := h.Import(ctx, box.ID, []store.Imported{{Incoming: in, Received: h.now()}}, nil)
		h.must(err)
		in.Close()
		want := message.Parse(m.Octets)
		for how, uid := range map[string]mail.UID{"delivered": delivered, "appended": appended, "imported": filed[0].UID} {
			rows, _, err := h.Rows(ctx, box.ID, []mail.UID{uid}, store.NeedParts|store.NeedContent)
			h.must(err)
			row := rows[0]
			octets, err := io.ReadAll(io.NewSectionReader(row.Content, 0, row.Size+1))
			h.must(err)
			h.must(row.Content.Close())
			if !bytes.HasSuffix(octets, m.Octets) || int64(len(octets)) != row.Size || row.Lacking != 0 {
				t.Errorf("%s, %s: %d octets became %d, %d, %d lacking", m.Kind, how, len(m.Octets), len(octets), row.Size, row.Lacking)
			}
			told, err := message.DecodeStructure(row.Parts)
			h.must(err)
			read := message.Parse(octets)
			if !bytes.Equal(message.AppendStructure(nil, read.Root), row.Parts) {
				t.Errorf("%s, %s: the store says otherwise than the octets: %.300q", m.Kind, how, octets)
			}
			if !reflect.DeepEqual(want.Envelope, read.Envelope) || want.Subject != read.Subject || want.Preview != read.Preview {
				t.Errorf("%s, %s: it reads differently: %+v, %+v", m.Kind, how, want.Envelope, read.Envelope)
			}
			if header, text := told.Body, int64(len(octets))-told.Body; header < 0 || text != want.Size-want.Header.Size {
				t.Errorf("%s, %s: a text of %d octets became one of %d", m.Kind, how, want.Size-want.Header.Size, text)
			}
		}
	}
}

// TestASCII: what is said of the size of what stands for a message in ASCII is what
// a reader of it gets, whatever its trace, its lines and its header are.
func TestASCII(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	plain, traced, utf8 := h.inbox(a), h.inbox(a), h.inbox(a)
	traced.Trace = []byte("Return-Path: <a@b>\r\nDelivered-To: c@d\r\n")
	utf8.Trace = []byte("Return-Path: <\u00e9@b.example>\r\nDelivered-To: \u00e9@d\r\n")
	messages := []string{
		"", "Subject: x\r\n\r\n\u00e9", "Subject: \u00e9\n\nbody\n", "A: \u00e9", "A: \u00e9\r\n\r\n", "no header \u00e9\r\n", "str\u00e9y\r\nFrom: \u00e9 <a@b.example>\r\n\r\n",
		"From x \u00e9\r\nSubject: \u00e9\r\n\r\n" + strings.Repeat("line\r\n", 30_000), "Subject: " + strings.Repeat("\u00e9 ", 200_000) + "\r\n\r\nx",
	}
	g := mailgen.New(7, false)
	for range mailgen.Kinds() {
		messages = append(messages, string(g.Next().Octets))
	}
	for _, octets := range messages {
		for _, f := range []store.Filing{plain, traced, utf8} {
			filed := h.deliver(octets, f)[0]
			rows, _, err := h.Rows(ctx, filed.Mailbox, []mail.UID{filed.UID}, store.NeedContent)
			h.must(err)
			row := rows[0]
			most := 0
			r, err := row.Content.ASCII(func(octets int) error { most = max(most, octets); return nil })
			h.must(err)
			got, err := io.ReadAll(r)
			h.must(err)
			h.must(row.Content.Close())
			var l message.LineEnds
			l.Count(got)
			if size := int64(len(got)) + l.Lacking(); row.ASCII >= 0 && size != row.ASCII || row.ASCII < 0 && int64(len(got)) != row.Size {
				t.Errorf("%.100q behind %q: %d octets in lines, said were %d of %d", octets, f.Trace, size, row.ASCII, row.Size)
			}
			if header := got[:message.Parse(got).Header.Size]; !message.IsHeaderASCII(header) {
				t.Errorf("%.100q behind %q has the header %.300q", octets, f.Trace, header)
			}
			if most > 4<<20 {
				t.Errorf("%.100q takes %d octets", octets, most)
			}
		}
	}
	// A read that fails says so, and so does memory that there is none of.
	filed := h.deliver("Subject: \u00e9\r\n\r\n", plain)[0]
	rows, _, err := h.Rows(ctx, filed.Mailbox, []mail.UID{filed.UID}, store.NeedContent)
	h.must(err)
	full := errors.New("full")
	if _, err := rows[0].Content.ASCII(func(int) error { return full }); !errors.Is(err, full) {
		t.Errorf("without memory: %v", err)
	}
	h.must(rows[0].Content.Close())
}
