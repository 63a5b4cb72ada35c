package store_test

import (
	"bytes"
	"io"
	"reflect"
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
