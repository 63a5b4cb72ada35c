package directory

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// What doveadm pw made of "correct horse", and of "pässwörd".
var foreignHashes = map[string]string{
	"ssha512": "{SSHA512}zoEO96RQA10nAzxxd1pA4qcd9dNmnnOcFbfd/0e0mCkIloMiju2d9M7PNygTXuJ+Hp1aQH+Zlrk9ocx8MwmO97a8jjY=",
	"sha512":  "{SHA512-CRYPT}$6$emY7A.KgNBf31SGw$XDXcYruOzjS5dkOJqaJRZZJolqlvPQGlFGKFgzKsHDpp6Ea.jSJi/kDpv6YgoHyHqBYBZ5zqndcwdGJXTBCn0.",
	"bcrypt":  "$2y$05$NDC5OyEaNZmudwny4h8IxupPcw1XGSJkxg9XjtWCCj6TfBLAuY3/u",
	"pbkdf2":  "{PBKDF2}$1$IUjvqZk.rje/kJft$5000$ec412247d07977be41771cfadef140117784e17c",
	"scram":   "{SCRAM-SHA-256}4096,LBpDKF1BJl+8jE9bnBvbRg==,J8Nik7KktnWaBmfvLLf5i9GBb9DSkDjoQsUF8MfHTxE=,nG5AeMwcNTVg1492leQcDuVJoCRBkuiAYrclJEevDxk=",
	"y":       "{CRYPT}$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79",
}

const umlautHash = "$6$rounds=20000$FIGzhRv//4EnP3v0$fwjtCfpJfqP73sDeasgaPqBztSNEoulzD0h.wPx9Gu0XetlZe6NBodYMxQ40cqlY9RRUn.KPBBhXB4j8hHaf20"

// What crypt(3) makes of the same word, its dots apart from its letters.
const partedHash = "$6$rounds=1000$salt$Q/M9V8h/NMDHTQ4FepDasx/okbAzDwFoDrLhnapDIPrMhswoZ7V6TTTfQLSyEY01/YtRyrxmqlek9CYEdLEE1/"

func (h *house) kept(name string) (password, scram string, version int64) {
	h.t.Helper()
	h.must(h.db.Read(h.t.Context(), func(tx *sqldb.Tx) error {
		key := addr(name).Key()
		return tx.QueryRow(`SELECT password, scram, version FROM directory_account WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local).
			Scan(&password, &scram, &version)
	}))
	return password, scram, version
}

// A hash of another server holds until the login that brings the password; then there
// is one of ours, and SCRAM. Sessions go on.
func TestForeignHashes(t *testing.T) {
	h := open(t, nil)
	for name, text := range foreignHashes {
		if r := h.imports(Record{Line: 1, Address: addr(name), Hash: text}); r.Added != 1 {
			t.Fatalf("%s: %+v", name, r)
		}
		before, scram, version := h.kept(name)
		if before == "" || scram != "" {
			t.Errorf("%s: kept %q and %q", name, before, scram)
		}
		wantKind(t, h.login(name+"@example.org", "correct house"), mail.Forbidden)
		if h.OffersScram(t.Context()) {
			t.Error("SCRAM is offered, which does not work for everybody")
		}
		l, err := h.Scram(t.Context(), name+"@example.org", imapFrom(home))
		h.must(err)
		if l.Iterations != 16 || len(l.Salt) != saltSize || len(l.Keys) != MaxAppPasswords+1 {
			t.Errorf("%s: SCRAM says more than of nobody: %+v", name, l)
		}
		_, err = l.Finish(t.Context(), func() int { return 0 })
		wantKind(t, err, mail.Forbidden)
		if after, _, _ := h.kept(name); after != before {
			t.Errorf("%s: a wrong password made %q of %q", name, after, before)
		}
		p, err := h.Login(t.Context(), name+"@example.org", "correct horse", imapFrom(home))
		h.must(err)
		after, scram, now := h.kept(name)
		ours, err := password.Parse(after)
		if err != nil || !ours.IsOurs() || !ours.Fits("correct horse") || scram == "" || now != version {
			t.Errorf("%s: kept are %q and %q of version %d, %v", name, after, scram, now, err)
		}
		h.must(h.Confirm(t.Context(), p))
		h.must(h.login(name+"@example.org", "correct horse"))
		if _, after, err := h.talkScram(name+"@example.org", "correct horse"); err != nil || string(after.Salt) != string(l.Salt) {
			t.Errorf("%s: no SCRAM after the login, or with another salt: %v", name, err)
		}
		if !h.OffersScram(t.Context()) {
			t.Error("SCRAM is not offered, and works for everybody")
		}
	}
}

// The password of a disabled account replaces nothing.
func TestForeignHashOfADisabledAccount(t *testing.T) {
	h := open(t, nil)
	h.imports(Record{Line: 1, Address: addr("alice"), Hash: foreignHashes["ssha512"]})
	h.must(h.SetDisabled(t.Context(), addr("alice"), true))
	before, _, _ := h.kept("alice")
	if err := h.login("alice@example.org", "correct horse"); !errors.Is(err, ErrDisabled) {
		t.Errorf("%v", err)
	}
	if after, scram, _ := h.kept("alice"); after != before || scram != "" {
		t.Errorf("kept are %q and %q", after, scram)
	}
}

// Another server made its hash of the octets that came, whatever SASLprep says; either
// way of typing the same letters gets in afterwards.
func TestForeignHashIsOfWhatWasTyped(t *testing.T) {
	composed, parted := "p\u00e4ssw\u00f6rd", "pa\u0308sswo\u0308rd"
	h := open(t, nil)
	h.imports(Record{Line: 1, Address: addr("alice"), Hash: umlautHash}, Record{Line: 2, Address: addr("bob"), Hash: umlautHash})
	h.must(h.login("alice@example.org", composed))
	h.must(h.login("alice@example.org", parted))
	h.must(h.login("bob@example.org", parted)) // Prepared, it is what Dovecot had.
	h.imports(Record{Line: 3, Address: addr("carl"), Hash: partedHash})
	wantKind(t, h.login("carl@example.org", composed), mail.Forbidden)
	h.must(h.login("carl@example.org", parted))
	h.must(h.login("carl@example.org", composed))
}

func TestImportOfHashes(t *testing.T) {
	h := open(t, nil)
	report := h.imports(
		Record{Line: 1, Address: addr("weak"), Hash: "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="},
		Record{Line: 2, Address: addr("des"), Hash: "{CRYPT}4bLCMcsLXPoAc"},
		Record{Line: 3, Address: addr("dear"), Hash: "{ARGON2ID}$argon2id$v=19$m=262144,t=3,p=1$p7opD3odBOJ+xGkhXfAQuw$3hfJY7c5lomgqIHYwUwCceyj/a+o5fXICY+XI/Wcv/Y"},
		Record{Line: 4, Address: addr("plain"), Hash: "{PLAIN}correct horse"},
		Record{Line: 5, Address: addr("broken"), Hash: "{PLAIN.HEX}zz"},
	)
	if report.Added != 1 || report.Failed != 4 {
		t.Errorf("%+v", report)
	}
	for i, want := range []string{"the hash is of SHA, which keeps no password safe", "DES-CRYPT", "m from 8*p to 65536", "hexadecimal"} {
		if !strings.Contains(report.Failures[i].Text, want) {
			t.Errorf("%+v, want %q", report.Failures[i], want)
		}
	}
	if kept, scram, _ := h.kept("plain"); !strings.HasPrefix(kept, "$argon2id$") || scram == "" {
		t.Errorf("a password was kept as %q, %q", kept, scram)
	}
	out, err := h.Import(t.Context(), each(Record{Line: 1, Address: addr("weak"), Hash: "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A="}), ImportOptions{AllowWeakHash: true})
	if err != nil || out.Added != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	h.must(h.login("weak@example.org", "correct horse"))
	if kept, _, _ := h.kept("weak"); !strings.HasPrefix(kept, "$argon2id$") {
		t.Errorf("kept is %q", kept)
	}
}

func TestFloor(t *testing.T) {
	h := open(t, func(o *Options) { o.NoFloor = false })
	_, err := h.AddAccount(t.Context(), NewAccount{Address: addr("alice"), Password: "secret"})
	wantKind(t, err, mail.Invalid)
	_, err = h.AddAccount(t.Context(), NewAccount{Address: addr("alice"), Password: "secret", AllowWeak: true})
	h.must(err)
	wantKind(t, h.SetPassword(t.Context(), addr("alice"), "alice@example.org", false), mail.Invalid)
	h.must(h.login("alice@example.org", "secret"))
	h.must(h.SetPassword(t.Context(), addr("alice"), "alice@example.org", true))
	h.must(h.SetPassword(t.Context(), addr("alice"), "correct horse", false))
	records := each(Record{Line: 1, Address: addr("bob"), Password: "password1"}, Record{Line: 2, Address: addr("carl"), Hash: "{PLAIN}password1"})
	for _, allow := range []bool{false, true} {
		report, err := h.Import(t.Context(), records, ImportOptions{AllowWeakPassword: allow})
		if err != nil || allow != (report.Added == 2) || allow == (report.Failed == 2) {
			t.Errorf("%v: %+v, %v", allow, report, err)
		}
	}
}

// A dry run says what an import would do, and does nothing.
func TestImportDryRun(t *testing.T) {
	h := open(t, func(o *Options) { o.NoFloor = false })
	_, err := h.AddAccount(t.Context(), NewAccount{Address: addr("there"), Password: "correct horse"})
	h.must(err)
	h.alias("alias", "there")
	defer h.shutGate()() // Nothing is hashed.
	bytes := int64(-7)
	records := []Record{
		{Line: 1, Address: addr("there"), Password: "correct horse"}, {Line: 2, Address: addr("new"), Password: "correct horse"},
		{Line: 3, Address: addr("hash"), Hash: foreignHashes["sha512"]}, {Line: 4, Address: addr("alias"), Password: "correct horse"},
		{Line: 5, Address: addr("a@elsewhere.example"), Password: "correct horse"}, {Line: 6, Address: addr("short"), Password: "x"},
		{Line: 7, Address: addr("less"), Password: "correct horse", Quota: AllowanceChange{Octets: &bytes}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	report, err := h.Import(ctx, each(records...), ImportOptions{DryRun: true})
	if err != nil || report.Added != 2 || report.Skipped != 1 || report.Failed != 4 {
		t.Errorf("%+v, %v", report, err)
	}
	if n := h.roomCount(); n != 1 {
		t.Errorf("%d rooms", n)
	}
}

func TestImportOfQuotas(t *testing.T) {
	h := open(t, nil)
	octets, messages := int64(5000), int64(7)
	h.imports(Record{Line: 1, Address: addr("alice"), Password: "x", Quota: AllowanceChange{Octets: &octets, Messages: &messages}},
		Record{Line: 2, Address: addr("bob"), Password: "x", Quota: AllowanceChange{Messages: &messages}})
	for name, want := range map[string]Allowance{"alice": {5000, 7}, "bob": {Inherit, 7}} {
		if a, err := h.Account(t.Context(), addr(name)); err != nil || a.Quota != want {
			t.Errorf("%s: %+v, %v", name, a.Quota, err)
		}
	}
}

// Whose hash is of what scheme cannot be told by the time that a wrong password takes:
// what was spent on it is rounded up.
func TestFailuresTakeWholeSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Directory{o: Options{Sleep: sleep}}
		l := newLimits(time.Now, sleep, false)
		for _, spent := range []time.Duration{time.Microsecond, 30 * time.Millisecond, 400 * time.Millisecond} {
			who := claimed{attempt: at(1, "192.0.2.1/32", false), spent: spent}
			in, err := l.admit(t.Context(), who.attempt)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			in.end(0) // The delay grows with the failures before; that is not looked at here.
			in.tallies = []*tally{{limit: 9, recovery: time.Minute, at: time.Now()}}
			wantKind(t, d.refuse(t.Context(), in, who, guess{}, nil), mail.Forbidden)
			if took := time.Since(began) + spent; took != FailureStep+FirstDelay {
				t.Errorf("%v of work: told after %v", spent, took)
			}
		}
	})
}

// A computation that takes little memory and much time takes as large a part of the
// gate as one of ours.
func TestForeignHashesTakeTurns(t *testing.T) {
	h := open(t, nil)
	for name, text := range foreignHashes {
		parsed, err := password.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if w := h.weight(parsed); w < int(h.o.Cost.Memory) || w > h.o.HashMemory {
			t.Errorf("%s: weighs %d", name, w)
		}
	}
}
