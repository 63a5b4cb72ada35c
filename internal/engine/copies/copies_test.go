package copies

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"yubin/internal/engine/directory"
	"yubin/internal/engine/intake"
	"yubin/internal/engine/route"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/sqldb"
)

// town is a Directory and Router: alice (with the alias sales), bob and archive are the
// accounts 1, 2 and 3 of here.test; both is alice and bob; others go on.
type town struct{}

func (town) Resolve(_ context.Context, a mail.Address) (r directory.Resolution, err error) {
	if a.Domain != "here.test" {
		return r, mail.Errorf(mail.Forbidden, "%s is elsewhere", a.Domain)
	}
	local, _, _ := strings.Cut(a.Key().Local, "+")
	for i, name := range []string{"alice", "bob", "archive"} {
		if local == name || local == "both" && i < 2 || local == "sales" && i == 0 {
			r.Accounts, r.Names = append(r.Accounts, mail.AccountID(i+1)), append(r.Names, mail.Address{Local: name, Domain: "here.test"})
		}
	}
	if len(r.Accounts) == 0 {
		return r, mail.Errorf(mail.NotFound, "there is no mailbox %s here", a)
	}
	return r, nil
}

func (t town) Route(ctx context.Context, q route.Question) (route.Routed, error) {
	if q.Recipient.Domain != "here.test" {
		return route.Routed{Onward: []route.Onward{{Address: q.Recipient, Hop: mail.NextHop{Domain: q.Recipient.Domain}}}}, nil
	}
	r, err := t.Resolve(ctx, q.Recipient)
	return route.Routed{Accounts: r.Accounts, Names: r.Names}, err
}

func address(s string) mail.Address {
	a, err := mail.ParseAddress(s)
	if err != nil {
		panic(s)
	}
	return a
}

func open(t *testing.T, db *sqldb.DB) *Book {
	t.Helper()
	b, err := Open(t.Context(), Options{DB: db, Directory: town{}, Router: town{}, Sender: address("postmaster@mx.test"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rule(t testing.TB, name, side, pattern, into, mailbox string) Rule {
	t.Helper()
	p, err := ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return Rule{Name: name, Side: Side(side), Pattern: p, Into: address(into), Mailbox: mail.MailboxName(mailbox)}
}

// copiesOf are the names of the copies that are made, with where they go.
func copiesOf(t *testing.T, b *Book, octets, from string, account mail.AccountID, to ...string) (all []intake.Copy, names string) {
	t.Helper()
	m := intake.NewMessage(new(store.Store).NewIncoming())
	t.Cleanup(m.Close)
	if _, err := io.WriteString(m, octets); err != nil {
		t.Fatal(err)
	}
	e := intake.Envelope{}
	e.Account = account
	if from != "" {
		e.ReversePath = mail.ReversePath(address(from))
	}
	var recipients []intake.Recipient
	for _, a := range to {
		r, err := town{}.Route(t.Context(), route.Question{Recipient: address(a)})
		if err != nil {
			t.Fatal(err)
		}
		recipients = append(recipients, intake.Recipient{Address: address(a), Route: r})
	}
	all = b.Copies(t.Context(), e, recipients, m)
	for _, c := range all {
		names += fmt.Sprint(c.Name, c.Accounts, c.Mailbox)
		for _, o := range c.Onward {
			names += ">" + o.Address.String()
		}
		names += " "
	}
	return all, strings.TrimSpace(names)
}

const text = "Message-ID: <m@away.test>\r\nSubject: x\r\n\r\nbody\r\n"

func TestWhichCopies(t *testing.T) {
	b := open(t, dbtest.Open(t))
	for _, r := range []Rule{
		rule(t, "a-to", "to", "alice@here.test", "archive@here.test", ""),
		rule(t, "b-account", "any", "account:alice@here.test", "archive@here.test", "Journal/In"),
		rule(t, "c-from", "from", "away.test", "journal@vault.test", ""),
		rule(t, "d-domain", "to", "@here.test", "both@here.test", ""),
	} {
		if err := b.Add(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	const a, acc, c, d = "a-to[3]", "b-account[3]Journal/In", "c-from[]>journal@vault.test", "d-domain[1 2]"
	for _, w := range []struct {
		from    string
		account mail.AccountID
		to      string
		want    string
	}{
		{"x@else.test", 0, "alice@here.test", a + " " + acc + " " + d},
		{"x@else.test", 0, "Alice+lists@here.test", a + " " + acc + " " + d},
		{"x@else.test", 0, "sales@here.test", acc + " " + d},
		{"x@else.test", 0, "bob@here.test", d},
		{"x@away.test", 0, "bob@here.test", c + " " + d},
		{"x@sub.away.test", 0, "y@else.test", ""},
		{"anything@here.test", 1, "y@else.test", acc},
		{"alice@here.test", 0, "y@else.test", ""}, // Who says to be alice is not.
		{"", 0, "alice@here.test", ""},            // A report.
	} {
		if _, got := copiesOf(t, b, text, w.from, w.account, w.to); got != w.want {
			t.Errorf("from %s (%d) to %s: %s, want %s", w.from, w.account, w.to, got, w.want)
		}
	}
	steps := b.Explain(t.Context(), route.Question{Recipient: address("bob@here.test"), Sender: mail.ReversePath(address("x@away.test"))})
	if got := fmt.Sprint(steps); got != "[{copy c-from: journal@vault.test gets a copy of mail from away.test} {copy d-domain: both@here.test gets a copy of mail to here.test}]" {
		t.Errorf("explained as %s", got)
	}
}

// No copy is made of a copy, and whoever forges its mark keeps nothing from being copied.
func TestNoCopyOfACopy(t *testing.T) {
	b := open(t, dbtest.Open(t))
	for _, name := range []string{"one", "two"} {
		if err := b.Add(t.Context(), rule(t, name, "any", "*", "journal@vault.test", "")); err != nil {
			t.Fatal(err)
		}
	}
	made, names := copiesOf(t, b, text, "x@away.test", 0, "alice@here.test")
	if names != "one[]>journal@vault.test two[]>journal@vault.test" {
		t.Fatalf("copies: %s", names)
	}
	for _, c := range made {
		if _, again := copiesOf(t, b, "Received: x\r\n"+string(c.Prefix)+text, "postmaster@mx.test", 0, "alice@here.test"); again != "" {
			t.Errorf("a copy of the copy %s: %s", c.Name, again)
		}
		other := strings.Replace(string(c.Prefix)+text, "<m@", "<n@", 1)
		if _, again := copiesOf(t, b, other, "x@away.test", 0, "alice@here.test"); again != names {
			t.Errorf("another message with the mark of a copy is copied as %q", again)
		}
	}
	if _, got := copiesOf(t, b, "X-Yubin-Copy: one\r\n"+text, "x@away.test", 0, "alice@here.test"); got != names {
		t.Errorf("a message that says to be a copy is copied as %q", got)
	}
	if _, got := copiesOf(t, b, "X-Yubin-Copy: \r\n body\r\n\r\n", "x@away.test", 0, "alice@here.test"); got != names {
		t.Errorf("a message with an empty mark is copied as %q", got)
	}
}

// Reports are copied for who wants them, and those of copies that failed for nobody.
func TestCopiesOfReports(t *testing.T) {
	b := open(t, dbtest.Open(t))
	r := rule(t, "all", "any", "*", "journal@vault.test", "")
	r.Reports = true
	if err := b.Add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, got := copiesOf(t, b, text, "", 0, "alice@here.test"); got == "" {
		t.Error("a report is not copied")
	}
	if _, got := copiesOf(t, b, text, "", 0, "postmaster@mx.test"); got != "" {
		t.Errorf("a report to who sends copies is copied: %s", got)
	}
}

// A copy for one recipient does not tell of the others; a journal tells of all.
func TestCopyEnvelope(t *testing.T) {
	b := open(t, dbtest.Open(t))
	for _, side := range []string{"to", "any"} {
		r := rule(t, side, side, map[string]string{"to": "alice@here.test", "any": "*"}[side], "archive@here.test", "Journal")
		r.Envelope = true
		if err := b.Add(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	made, _ := copiesOf(t, b, text, "x@away.test", 0, "alice@here.test", "bob@here.test")
	if len(made) != 2 {
		t.Fatalf("%d copies", len(made))
	}
	for i, want := range []string{
		"X-Envelope-From: <x@away.test>\r\nX-Envelope-To: alice@here.test,\r\n\tbob@here.test\r\n",
		"X-Envelope-From: <x@away.test>\r\nX-Envelope-To: alice@here.test\r\n",
	} {
		if got := string(made[i].Prefix); !strings.HasSuffix(got, want) || !strings.HasPrefix(got, "X-Yubin-Copy: "+made[i].Name+" ") {
			t.Errorf("%s: %q", made[i].Name, got)
		}
	}
}

// A target that is not there any more gets its mail by the queue, which tells the postmaster.
func TestCopyTargetGone(t *testing.T) {
	b := open(t, dbtest.Open(t))
	for _, mailbox := range []string{"", "Journal"} {
		rules := append(b.Rules(), rule(t, "r"+mailbox, "any", "*", "gone@here.test", mailbox))
		b.show(rules, nil) // As if it had been there.
	}
	if _, got := copiesOf(t, b, text, "x@away.test", 0, "alice@here.test"); got != "r[]>gone@here.test rJournal[]>gone@here.test" {
		t.Errorf("copies: %s", got)
	}
}

func TestRules(t *testing.T) {
	db := dbtest.Open(t)
	b := open(t, db)
	kind := func(r Rule, want mail.Kind) {
		t.Helper()
		if err := b.Add(t.Context(), r); mail.KindOf(err) != want || err == nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
	good := rule(t, "good", "any", "account:alice@here.test", "archive@here.test", "Journal")
	if err := b.Add(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	kind(good, mail.Exists)
	kind(rule(t, "", "any", "*", "archive@here.test", ""), mail.Invalid)
	kind(rule(t, "a b", "any", "*", "archive@here.test", ""), mail.Invalid)
	kind(rule(t, "x", "by", "*", "archive@here.test", ""), mail.Invalid)
	kind(rule(t, "x", "any", "*", "nobody@here.test", ""), mail.NotFound)
	kind(rule(t, "x", "any", "*", "nobody@here.test", "Journal"), mail.NotFound)
	kind(rule(t, "x", "any", "*", "both@here.test", "Journal"), mail.Invalid)
	kind(rule(t, "x", "any", "*", "a@away.test", "Journal"), mail.Forbidden)
	if err := b.Remove(t.Context(), "other"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("removing what is not there: %v", err)
	}
	again := open(t, db) // What is there is there after a restart, with its key.
	if r := again.Rules(); len(r) != 1 || r[0].String() != "good: Journal of archive@here.test gets a copy of mail to or from account:alice@here.test" || r[0].seal(nil) != b.Rules()[0].seal(nil) {
		t.Errorf("after a restart: %v", r)
	}

	// A row that cannot be read copies nothing, is told of, and can be removed.
	if err := db.Write(t.Context(), func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`INSERT INTO copies_rule (name, side, pattern, target, mailbox, envelope, reports, seal) VALUES ('bad', 'any', '*', 'nothing', '', 0, 0, '')`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b = open(t, db)
	var problems []string
	if err := b.Check(t.Context(), func(p string) { problems = append(problems, p) }); err != nil || len(problems) != 1 || !strings.Contains(problems[0], "copy bad") {
		t.Errorf("check: %v, %v", problems, err)
	}
	if _, got := copiesOf(t, b, text, "x@away.test", 0, "bob@here.test"); got != "" {
		t.Errorf("copies: %s", got)
	}
	if err := b.Remove(t.Context(), "bad"); err != nil || len(b.Rules()) != 1 {
		t.Errorf("removing it: %v", err)
	}
}

func TestPatterns(t *testing.T) {
	for in, want := range map[string]string{"*": "*", "Example.org": "example.org", "@example.org": "example.org", "a@b.test": "a@b.test",
		"account:a@b.test": "account:a@b.test", "": "!", "account:": "!", "a b": "!", "a@": "!", "account:*": "!"} {
		p, err := ParsePattern(in)
		got := p.String()
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("%q is %s, %v, want %s", in, got, err, want)
		}
	}
}
