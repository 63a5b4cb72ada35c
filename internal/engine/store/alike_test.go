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
	g := mailgen.New(5, false)
	for range mailgen.Kinds() {
		m := g.Next()
		h.readsAlike(t, a, m.Kind, m.Octets)
	}
	for range mailgen.ExactKinds() {
		m := g.NextExact()
		h.readsAlike(t, a, m.Kind, m.Octets)
	}
}

// FuzzReadsAlike is TestReadsAlike for what nobody thought of.
func FuzzReadsAlike(f *testing.F) {
	g := mailgen.New(6, false)
	for range mailgen.Kinds() {
		if m := g.Next(); len(m.Octets) < 4<<10 {
			f.Add(m.Octets)
		}
	}
	for range mailgen.ExactKinds() {
		f.Add(g.NextExact().Octets)
	}
	h := newHouse(f)
	a := h.account(1)
	box := h.box(a, mail.Inbox).ID
	f.Fuzz(func(t *testing.T, octets []byte) {
		if len(octets) == 0 {
			return
		}
		h.t = t
		defer func() { h.t = f }()
		_, err := h.ExpungeAny(ctx, box, mail.UIDs(h.readsAlike(t, a, "it", octets)...))
		h.must(err)
	})
}

// readsAlike checks it of one message, and returns the UIDs that it got.
func (h *house) readsAlike(t *testing.T, a mail.AccountID, kind string, octets []byte) []mail.UID {
	t.Helper()
	box := h.box(a, mail.Inbox)
	traced := h.inbox(a)
	traced.Prefix = []byte("Return-Path: <a@b>\r\nDelivered-To: c@d\r\nReceived: from x by y;\r\n\tMon, 1 Jan 2024 10:00:00 +0100\r\n")
	delivered := h.deliver(string(octets), traced)[0].UID
	appended := h.deliver(string(octets), h.inbox(a))[0].UID
	in := h.NewIncoming()
	_, err := in.Write(octets)
	h.must(err)
	filed, err := h.DeliverNumbered(ctx, box.ID, []store.Imported{{Incoming: in, Received: h.now()}}, nil)
	h.must(err)
	in.Close()
	want := message.Parse(octets)
	for how, uid := range map[string]mail.UID{"delivered": delivered, "appended": appended, "imported": filed[0].UID} {
		rows, _, err := h.Rows(ctx, box.ID, []mail.UID{uid}, store.NeedForm|store.NeedContent)
		h.must(err)
		row := rows[0]
		read, err := io.ReadAll(io.NewSectionReader(row.Content, 0, row.Size+1))
		h.must(err)
		h.must(row.Content.Close())
		if !bytes.HasSuffix(read, octets) || int64(len(read)) != row.Size || how != "delivered" && len(read) != len(octets) {
			t.Errorf("%s, %s: %d octets became %d, %d", kind, how, len(octets), len(read), row.Size)
		}
		if bytes.HasSuffix(octets, []byte("\r\n")) && bytes.Count(octets, []byte("\n")) == bytes.Count(octets, []byte("\r\n")) && row.Lacking != 0 {
			t.Errorf("%s, %s: it lacks %d octets", kind, how, row.Lacking)
		}
		told := row.Form.Root()
		found := message.Parse(read)
		form, err := message.ParseForm(message.AppendForm(nil, found))
		h.must(err)
		if !reflect.DeepEqual(form.Root(), told) || !reflect.DeepEqual(form.Envelope(), row.Form.Envelope()) || form.Repeats() != row.Form.Repeats() {
			t.Errorf("%s, %s: the store says otherwise than the octets: %.300q", kind, how, read)
		}
		if !reflect.DeepEqual(want.Envelope, found.Envelope) || want.Subject != found.Subject || want.Preview != found.Preview {
			t.Errorf("%s, %s: it reads differently: %+v, %+v", kind, how, want.Envelope, found.Envelope)
		}
		if text := row.Size - told.Body; told.Body < 0 || told.End != row.Size || text != want.Size-want.Header.Size {
			t.Errorf("%s, %s: a text of %d octets became one of %d", kind, how, want.Size-want.Header.Size, text)
		}
	}
	return []mail.UID{delivered, appended, filed[0].UID}
}

// TestASCII: what is said of the size of what stands for a message in ASCII is what
// a reader of it gets, whatever its prefix, its lines and its header are.
func TestASCII(t *testing.T) {
	h := newHouse(t)
	a := h.account(1)
	plain, traced, utf8 := h.inbox(a), h.inbox(a), h.inbox(a)
	traced.Prefix = []byte("Return-Path: <a@b>\r\nDelivered-To: c@d\r\n")
	utf8.Prefix = []byte("Return-Path: <\u00e9@b.example>\r\nDelivered-To: \u00e9@d\r\n")
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
				t.Errorf("%.100q behind %q: %d octets in lines, said were %d of %d", octets, f.Prefix, size, row.ASCII, row.Size)
			}
			if header := got[:message.Parse(got).Header.Size]; !message.IsHeaderASCII(header) {
				t.Errorf("%.100q behind %q has the header %.300q", octets, f.Prefix, header)
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
