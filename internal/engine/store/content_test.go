package store_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/engine/store"
	"yubin/internal/mail"
)

// Every range of a message, short or in a file, with prefix or without.
func TestContentRanges(t *testing.T) {
	h := newHouse(t)
	f := h.inbox(h.account(1))
	id := h.box(1, mail.Inbox).ID
	traced := f
	traced.Prefix = []byte("Received: here\r\n")
	for _, body := range []string{"short", strings.Repeat("long ", store.InlineMax/4)} {
		h.deliver(text("x", "ranges", body), f, traced)
	}
	v := h.view(id)
	for _, e := range v.All() {
		whole := h.read(id, e.UID)
		rows, _, err := h.Rows(ctx, id, []mail.UID{e.UID}, store.NeedContent)
		h.must(err)
		n := int64(len(whole))
		for _, r := range [][2]int64{{0, n}, {0, 0}, {0, 5}, {5, 16}, {10, 30}, {16, 17}, {17, n}, {n - 1, n}, {n, n}} {
			var b strings.Builder
			h.must(rows[0].Content.WriteRange(&b, r[0], r[1]))
			if b.String() != whole[r[0]:r[1]] {
				t.Errorf("UID %d, %d to %d: %d octets that differ", e.UID, r[0], r[1], b.Len())
			}
		}
		if err := rows[0].Content.WriteRange(new(strings.Builder), 0, n+1); err == nil {
			t.Errorf("UID %d: a range beyond the end was written", e.UID)
		}
		h.must(rows[0].Content.Close())
	}
}

// spoil turns an octet of the only blob file.
func (h *house) spoil(off int64) {
	h.t.Helper()
	files, err := filepath.Glob(filepath.Join(h.dir, "blobs", "??", "*"))
	h.must(err)
	if len(files) != 1 {
		h.t.Fatalf("files %v", files)
	}
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	h.must(err)
	defer f.Close()
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	h.must(err)
	b[0] ^= 0x20
	_, err = f.WriteAt(b[:], off)
	h.must(err)
}

// TestDamagedFile: of a file with a damaged block no octet of that block is ever
// given out, however it is read; the rest is; and it is told once.
func TestDamagedFile(t *testing.T) {
	var log bytes.Buffer
	h := newHouse(t, func(o *store.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	f := h.inbox(h.account(1))
	f.Prefix = []byte("Received: here\r\n")
	const block = store.InlineMax
	octets := text("x", "damaged", strings.Repeat("long ", block)) // Five blocks and a bit.
	filed := h.deliver(octets, f)
	whole := string(f.Prefix) + octets
	prefix := int64(len(f.Prefix))
	h.spoil(2*block + 1000)
	open := func() *store.Content {
		rows, _, err := h.Rows(ctx, filed[0].Mailbox, []mail.UID{1}, store.NeedContent)
		h.must(err)
		return rows[0].Content
	}
	c := open()
	good, bad := [][2]int64{{0, 2*block + prefix}, {3*block + prefix, c.Size()}, {2*block + prefix - 1, 2*block + prefix}},
		[][2]int64{{0, c.Size()}, {2*block + prefix, 2*block + prefix + 1}, {2 * block, 4 * block}}
	for _, r := range good {
		var b strings.Builder
		p := make([]byte, r[1]-r[0])
		_, err := c.ReadAt(p, r[0])
		h.must(errors.Join(err, c.Verify(r[0], r[1]), c.WriteRange(&b, r[0], r[1])))
		if b.String() != whole[r[0]:r[1]] || string(p) != b.String() {
			t.Errorf("%d to %d: other octets", r[0], r[1])
		}
	}
	for _, r := range bad {
		var b strings.Builder
		_, err := c.ReadAt(make([]byte, r[1]-r[0]), r[0])
		for _, err := range []error{err, c.Verify(r[0], r[1]), c.WriteRange(&b, r[0], r[1])} {
			wantKind(t, err, mail.Internal)
			if !errors.Is(err, store.ErrDamaged) {
				t.Error(err)
			}
		}
		if int64(b.Len()) > max(2*block+prefix-r[0], 0) || b.String() != whole[r[0]:r[0]+int64(b.Len())] {
			t.Errorf("%d to %d: %d octets were written", r[0], r[1], b.Len())
		}
	}
	h.must(c.Close())
	again := open()
	_, err := again.WriteTo(new(strings.Builder))
	wantKind(t, err, mail.Internal)
	h.must(again.Close())
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("told %d times: %s", n, log.String())
	}
	var problems []string
	h.must(h.CheckDeep(ctx, func(p string) { problems = append(problems, p) }))
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "octets do not match their checksum: blob 1 ") {
		t.Errorf("check says %q", problems)
	}
	h.spoil(2*block + 1000)
}
