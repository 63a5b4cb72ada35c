package arch

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// TestTree holds the whole repository to the table.
func TestTree(t *testing.T) {
	found, err := Check(os.DirFS("../../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found {
		t.Error(v)
	}
}

// TestTable checks that the test above can fail: a made-up tree with one file,
// and what is said of it.
func TestTable(t *testing.T) {
	cases := []struct {
		file, imports string
		want          string // part of the violation; "" for none
	}{
		{"internal/mail/a.go", "yubin/internal/scan", ""},
		{"internal/mail/a.go", "net/netip", ""},
		{"internal/mail/a.go", "os", "words may not touch it"},
		{"internal/message/a.go", "yubin/internal/world/netx", "words may not import world"},
		{"internal/message/deep/a.go", "yubin/internal/message", ""},
		{"internal/proto/imap/a.go", "yubin/internal/mail", ""},
		{"internal/proto/imap/a.go", "yubin/internal/proto/smtp", "languages may not import languages"},
		{"internal/proto/imap/a.go", "yubin/internal/engine/store", "languages may not import engines"},
		{"internal/proto/imap/a.go", "net", "languages may not touch it"},
		{"internal/mailauth/dkim/a.go", "yubin/internal/dns", ""},
		{"internal/world/certs/a.go", "yubin/internal/world/netx", ""},
		{"internal/world/certs/a.go", "net", ""},
		{"internal/world/certs/a.go", "yubin/internal/engine/store", "world may not import engines"},
		{"internal/engine/queue/a.go", "yubin/internal/engine/spool", ""},
		{"internal/engine/queue/a.go", "yubin/internal/proto/dsn", ""},
		{"internal/engine/report/a.go", "yubin/internal/mailauth/dmarc", ""},
		{"internal/engine/store/a.go", "yubin/internal/proto/imap", "engines may not import languages"},
		{"internal/engine/store/a.go", "yubin/internal/session/imapd", "engines may not import conversations"},
		{"internal/engine/store/a.go", "net/http", "engines may not touch it"},
		{"internal/session/imapd/a.go", "yubin/internal/proto/imap", ""},
		{"internal/session/imapd/a.go", "yubin/internal/proto/sasl", ""},
		{"internal/session/imapd/a.go", "yubin/internal/proto/smtp", "conversations may not import languages"},
		{"internal/session/imapd/a.go", "yubin/internal/session/smtpd", "conversations may not import conversations"},
		{"internal/session/imapd/a.go", "yubin/internal/testkit/memnet", "conversations may not import tests"},
		{"internal/session/pop3d/a.go", "yubin/internal/server", "conversations may not import assembly"},
		{"internal/server/admin/a.go", "yubin/internal/session/imapd", ""},
		{"internal/server/metrics/a.go", "yubin/internal/engine/queue", ""},
		{"internal/server/metrics/a.go", "github.com/prometheus/client_golang/prometheus", ""},
		{"internal/engine/queue/a.go", "yubin/internal/server/metrics", "engines may not import assembly"},
		{"internal/server/a.go", "yubin/internal/testkit/memnet", "assembly may not import tests"},
		{"internal/testkit/storetest/a.go", "yubin/internal/server", ""},
		{"cmd/yubin/a.go", "yubin/internal/server", ""},
		{"internal/util/a.go", "fmt", "belongs to no tier"},
		{"internal/mail/a.go", "yubin/internal/util", "belongs to no tier"},
		{"internal/mail/a_test.go", "yubin/internal/server", ""},
		{"internal/mail/testdata/a.go", "yubin/internal/server", ""},
	}
	for _, c := range cases {
		src := "package p\n\nimport _ \"" + c.imports + "\"\n"
		found, err := Check(fstest.MapFS{c.file: {Data: []byte(src)}})
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(found); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s importing %s: got %q, want %q", c.file, c.imports, got, c.want)
		}
	}
}

// TestCallers: only its owner calls a method of that table, or takes it as a value.
func TestCallers(t *testing.T) {
	src := []byte("package p\n\nfunc f(s interface{ Deliver() }) {\n\ts.Deliver()\n\t_ = s.Deliver\n}\n")
	found, err := Check(fstest.MapFS{"internal/engine/queue/a.go": {Data: src}, "internal/engine/intake/a.go": {Data: src}, "internal/engine/queue/a_test.go": {Data: src}})
	if err != nil {
		t.Fatal(err)
	}
	const why = "calls Deliver: only internal/engine/intake may\n"
	if got, want := describe(found), "internal/engine/queue/a.go:4: "+why+"internal/engine/queue/a.go:5: "+why; got != want {
		t.Errorf("got %s", got)
	}
}

// TestUnreadable: a file that is not Go is an error, not a file without imports.
func TestUnreadable(t *testing.T) {
	if _, err := Check(fstest.MapFS{"internal/mail/a.go": {Data: []byte("import nothing")}}); err == nil {
		t.Error("a broken file passed")
	}
}

func describe(found []Violation) string {
	var b strings.Builder
	for _, v := range found {
		b.WriteString(v.String() + "\n")
	}
	return b.String()
}

// TestTables: SQL names only tables of its own engine.
func TestTables(t *testing.T) {
	file := func(sql string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte("package p\n\nconst s = `" + sql + "`\n")}
	}
	tree := fstest.MapFS{
		"internal/engine/store/schema.go": file("CREATE TABLE email (\n\tid {id}\n); CREATE TABLE IF NOT EXISTS blob (id {id})"),
		"internal/engine/spool/a.go":      file("CREATE TABLE spool_item (blob {int})"),
		"internal/engine/queue/a.go":      file("SELECT blob, email FROM spool_item"),
		"internal/engine/store/a.go":      file("SELECT 1 FROM email e, blob AS b WHERE EXISTS (SELECT 1 FROM few)"),
		"internal/server/a.go":            file("mail FROM blob"),
		"internal/engine/intake/a.go":     file("SELECT 1\nFROM few AS f, email e\nJOIN blob b"),
		"internal/engine/journal/a.go":    file("INSERT INTO email (id) SELECT id\n\tFROM spool_item"),
		"internal/engine/route/a.go":      file("UPDATE blob SET id = 1"),
		"internal/engine/route/a_test.go": file("UPDATE blob SET id = 1"),
		"internal/engine/notify/a.go":     file("`+\"DELETE FROM blob\"+`"),
	}
	found, err := Check(tree)
	if err != nil {
		t.Fatal(err)
	}
	const store, queue = ": only internal/engine/store may\n", ": only internal/engine/queue may\n"
	want := "internal/engine/intake/a.go:4: reads or writes table email" + store +
		"internal/engine/intake/a.go:5: reads or writes table blob" + store +
		"internal/engine/journal/a.go:3: reads or writes table email" + store +
		"internal/engine/journal/a.go:4: reads or writes table spool_item" + queue +
		"internal/engine/notify/a.go:3: reads or writes table blob" + store +
		"internal/engine/route/a.go:3: reads or writes table blob" + store +
		"internal/server/a.go:3: reads or writes table blob" + store
	if got := describe(found); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
