package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// roomCount counts the rows that the mail side has.
func (h *house) roomCount() (n int) {
	h.t.Helper()
	h.must(h.db.Read(h.t.Context(), func(tx *sqldb.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM mailroom`).Scan(&n)
	}))
	return n
}

func TestDomains(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.alias("sales", "alice")
	for name, kind := range map[mail.Domain]mail.Kind{"example.org": mail.Exists, "": mail.Invalid, "[192.0.2.1]": mail.Invalid} {
		_, err := h.AddDomain(t.Context(), name)
		wantKind(t, err, kind)
	}
	list, err := h.Domains(t.Context())
	if err != nil || len(list) != 2 || !reflect.DeepEqual(list[0], Domain{Name: "example.org", Accounts: 1, Aliases: 1, Quota: inherits()}) {
		t.Errorf("%+v, %v", list, err)
	}
	wantKind(t, h.RemoveDomain(t.Context(), "example.org"), mail.Conflict)
	wantKind(t, h.RemoveDomain(t.Context(), "elsewhere.example"), mail.NotFound)
	wantKind(t, h.RemoveAccount(t.Context(), addr("alice")), mail.Conflict)
	h.must(h.RemoveAlias(t.Context(), addr("sales")))
	wantKind(t, h.RemoveDomain(t.Context(), "example.org"), mail.Conflict)
	h.must(h.RemoveAccount(t.Context(), addr("alice")))
	h.must(h.RemoveDomain(t.Context(), "example.org"))
}

// Addresses that are given away here are strict; those that an alias leads to
// elsewhere are as others have them.
func TestOwnAddressesAreStrict(t *testing.T) {
	h := open(t, nil)
	for _, local := range []string{"a b", "a..b", "a.", "a\u202eb", "a\u200b", strings.Repeat("a", mail.MaxOwnLocalPart+1)} {
		bad := mail.Address{Local: local, Domain: "example.org"}
		_, err := h.AddAccount(t.Context(), NewAccount{Address: bad, Password: "x"})
		wantKind(t, err, mail.Invalid)
		_, err = h.AddAlias(t.Context(), Alias{Address: bad, Targets: addrs("user..name@docomo.example")})
		wantKind(t, err, mail.Invalid)
		if r := h.imports(Record{Line: 1, Address: bad, Password: "x"}); r.Failed != 1 || r.Added != 0 {
			t.Errorf("%q: %+v", bad, r)
		}
	}
	h.alias("odd", "user..name@docomo.example", "SRS1="+strings.Repeat("x", 81)+"@x.example")
	r, err := h.Resolve(t.Context(), addr("odd"))
	if err != nil || fmt.Sprint(r.Foreign) != fmt.Sprint(addrs("user..name@docomo.example", "SRS1="+strings.Repeat("x", 81)+"@x.example")) {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestAccounts(t *testing.T) {
	h := open(t, nil)
	a, err := h.AddAccount(t.Context(), NewAccount{Address: addr("Alice"), Password: "x", Language: "pt-BR"})
	h.must(err)
	got, err := h.Account(t.Context(), addr("aLICE"))
	if err != nil || !reflect.DeepEqual(got, a) || got.Language != "pt-BR" || got.Disabled || got.Created.IsZero() {
		t.Errorf("Account = %+v, %v; want %+v", got, err, a)
	}
	for _, c := range []struct {
		n    NewAccount
		kind mail.Kind
	}{
		{NewAccount{Address: addr("ALICE"), Password: "x"}, mail.Exists},
		{NewAccount{Address: addr("bob")}, mail.Invalid},
		{NewAccount{Password: "x"}, mail.Invalid},
		{NewAccount{Address: addr("bob@elsewhere.example"), Password: "x"}, mail.NotFound},
		{NewAccount{Address: addr("bob"), Password: "x", Language: "<b>"}, mail.Invalid},
	} {
		_, err := h.AddAccount(t.Context(), c.n)
		wantKind(t, err, c.kind)
	}
	_, err = h.Account(t.Context(), addr("bob"))
	wantKind(t, err, mail.NotFound)
	wantKind(t, h.SetPassword(t.Context(), addr("bob"), "x", false), mail.NotFound)
	wantKind(t, h.SetDisabled(t.Context(), addr("bob"), true), mail.NotFound)
	wantKind(t, h.RemoveAccount(t.Context(), addr("bob")), mail.NotFound)
	wantKind(t, h.RemoveAlias(t.Context(), addr("alice")), mail.NotFound)
}

// An account and its mailboxes come and go together.
func TestAccountsShareTheTransaction(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.rooms.fail = mail.Errorf(mail.Unavailable, "disk full")
	_, err := h.AddAccount(t.Context(), NewAccount{Address: addr("bob"), Password: "x"})
	wantKind(t, err, mail.Unavailable)
	wantKind(t, h.RemoveAccount(t.Context(), addr("alice")), mail.Unavailable)
	h.rooms.fail = nil
	h.wantNoRoute("bob", mail.NotFound)
	if n := h.roomCount(); n != 1 {
		t.Errorf("%d rooms", n)
	}
	h.must(h.RemoveAccount(t.Context(), addr("alice")))
	if n := h.roomCount(); n != 0 {
		t.Errorf("%d rooms after removal", n)
	}
}

func TestPages(t *testing.T) {
	h := open(t, nil)
	for _, name := range []string{"Carol", "alice", "Bob@bücher.example", "dave"} {
		h.account(name)
		h.alias("of-"+name, name)
	}
	page := func(f Filter) string {
		t.Helper()
		var names, aliases []string
		list, err := h.Accounts(t.Context(), f)
		h.must(err)
		for _, a := range list {
			names = append(names, a.Address.Local)
		}
		f.After.Local = strings.Replace(f.After.Key().Local, "alice", "of-alice", 1)
		also, err := h.Aliases(t.Context(), f)
		h.must(err)
		for _, a := range also {
			aliases = append(aliases, strings.TrimPrefix(a.Address.Local, "of-"))
			if len(a.Targets) != 1 {
				t.Errorf("alias %+v", a)
			}
		}
		if strings.Join(names, " ") != strings.Join(aliases, " ") {
			t.Errorf("accounts %v, aliases %v", names, aliases)
		}
		return strings.Join(names, " ")
	}
	for want, f := range map[string]Filter{
		"alice Carol dave Bob": {},
		"alice Carol dave":     {Domain: "example.org"},
		"Carol dave":           {Domain: "example.org", After: addr("alice")},
		"Carol":                {After: addr("ALICE"), Limit: 1},
		"Bob":                  {Domain: "xn--bcher-kva.example", Limit: MaxPage + 1},
		"":                     {Domain: "elsewhere.example"},
	} {
		if got := page(f); got != want {
			t.Errorf("page %+v = %q, want %q", f, got, want)
		}
	}
}

// The nouns go over the admin API: addresses as people write them, no secrets.
func TestJSON(t *testing.T) {
	h := open(t, nil)
	h.account("alice")
	h.alias("verkauf@bücher.example", "alice")
	list, err := h.Accounts(t.Context(), Filter{})
	h.must(err)
	aliases, err := h.Aliases(t.Context(), Filter{})
	h.must(err)
	domains, err := h.Domains(t.Context())
	h.must(err)
	b, err := json.Marshal([]any{list, aliases, domains})
	h.must(err)
	for _, want := range []string{`"address":"alice@example.org"`, `"targets":["alice@example.org"]`, `"address":"verkauf@xn--bcher-kva.example"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
	for _, secret := range []string{"argon2", "SCRAM", "catch_all"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("%s has %s", b, secret)
		}
	}
	var n NewAccount
	h.must(json.Unmarshal([]byte(`{"address":"Jörg@BÜCHER.example","password":"x"}`), &n))
	if n.Address != addr("Jörg@bücher.example") {
		t.Errorf("read %+v", n)
	}
	if err := json.Unmarshal([]byte(`{"address":"nobody"}`), &n); err == nil {
		t.Error("an address without a domain was read")
	}
}

// each yields records, and an error for those without a line.
func each(records ...Record) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, r := range records {
			var err error
			if r.Line < 0 {
				err = mail.Errorf(mail.Invalid, "line %d has no address", -r.Line)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (h *house) imports(records ...Record) ImportReport {
	h.t.Helper()
	report, err := h.Import(h.t.Context(), each(records...), ImportOptions{})
	h.must(err)
	return report
}

func TestImport(t *testing.T) {
	h := open(t, nil)
	h.account("there")
	h.alias("alias", "there")
	hashed := password.New("secret", []byte("0123456789abcdef"), password.Cost{Memory: 32, Time: 1, Threads: 1}).String()
	report := h.imports(
		Record{Line: 1, Address: addr("there"), Password: "new"},
		Record{Line: 2, Address: addr("plain"), Password: "pässword", Language: "de"},
		Record{Line: 3, Address: addr("hashed"), Hash: hashed},
		Record{Line: 4, Address: addr("PLAIN"), Password: "again"},
		Record{Line: 5, Address: addr("alias"), Password: "x"},
		Record{Line: 6, Address: addr("a@elsewhere.example"), Password: "x"},
		Record{Line: 7, Address: addr("none")},
		Record{Line: 8, Address: addr("both"), Password: "x", Hash: hashed},
		Record{Line: 9, Address: addr("weak"), Hash: "$1$salt$hash"},
		Record{Line: -10},
		Record{Line: 11, Password: "x"},
	)
	if report.Added != 2 || report.Skipped != 2 || report.Failed != 7 || len(report.Failures) != 7 {
		t.Errorf("%+v", report)
	}
	for i, line := range []int{5, 6, 7, 8, 9, -10, 11} {
		if f := report.Failures[i]; f.Line != line || f.Text == "" {
			t.Errorf("failure %d: %+v", i, f)
		}
	}
	h.must(h.login("plain@example.org", "pässword"))
	h.must(h.login("hashed@example.org", "secret"))
	h.must(h.login("there@example.org", "pw of there"))
	if a, err := h.Account(t.Context(), addr("plain")); err != nil || a.Language != "de" {
		t.Errorf("%+v, %v", a, err)
	}
	if n := h.roomCount(); n != 3 {
		t.Errorf("%d rooms", n)
	}
}

// An import that was broken off is run again and does the rest.
func TestImportRestart(t *testing.T) {
	h := open(t, nil)
	var records []Record
	for i := range 2*importBatch + 50 {
		records = append(records, Record{Line: i + 1, Address: addr(fmt.Sprint("user", i)), Password: "x"})
	}
	ctx, cancel := context.WithCancel(t.Context())
	report, err := h.Import(ctx, each(records...), ImportOptions{Progress: func(r ImportReport) {
		if r.Added == importBatch {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || report.Added != importBatch || report.Failed != 0 {
		t.Fatalf("broken off: %+v, %v", report, err)
	}
	if n := h.roomCount(); n != importBatch {
		t.Errorf("%d rooms after the first run", n)
	}
	var steps []int
	report, err = h.Import(t.Context(), each(records...),
		ImportOptions{Progress: func(r ImportReport) { steps = append(steps, r.Added+r.Skipped) }})
	h.must(err)
	if report.Added != importBatch+50 || report.Skipped != importBatch || report.Failed != 0 {
		t.Errorf("second run: %+v", report)
	}
	if fmt.Sprint(steps) != "[200 400 450]" {
		t.Errorf("progress %v", steps)
	}
	h.must(h.login("user449@example.org", "x"))
}

// A second run does not hash the passwords of the accounts that are there.
func TestImportSparesTheWork(t *testing.T) {
	h := open(t, nil)
	h.account("there")
	defer h.shutGate()()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	report, err := h.Import(ctx, each(Record{Line: 1, Address: addr("there"), Password: "x"}), ImportOptions{})
	if err != nil || report.Skipped != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestImportStopsWhenTheStoreFails(t *testing.T) {
	h := open(t, nil)
	h.rooms.fail = mail.Errorf(mail.Unavailable, "disk full")
	report, err := h.Import(t.Context(), each(Record{Line: 1, Address: addr("a"), Password: "x"}), ImportOptions{})
	wantKind(t, err, mail.Unavailable)
	if report.Added != 0 || h.roomCount() != 0 {
		t.Errorf("%+v", report)
	}
}

func TestImportNamesABoundedNumberOfFailures(t *testing.T) {
	h := open(t, nil)
	report := h.imports(make([]Record, MaxImportFailures+7)...)
	if report.Failed != MaxImportFailures+7 || len(report.Failures) != MaxImportFailures {
		t.Errorf("%d failed, %d named", report.Failed, len(report.Failures))
	}
}

// Readers and writers at once: whatever was changed last is what is seen after,
// and nobody sees an account that was never there.
func TestConcurrentChanges(t *testing.T) {
	h := open(t, nil)
	var names []string
	ids := map[mail.AccountID]string{}
	for i := range 4 {
		name := fmt.Sprint("user", i)
		names = append(names, name)
		ids[h.account(name)] = name
	}
	h.alias("team", names...)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := h.Resolve(context.Background(), addr("team"))
				if err != nil && !errors.Is(err, ErrDisabled) {
					t.Errorf("Resolve: %v", err)
				}
				for _, id := range r.Accounts {
					if ids[id] == "" {
						t.Errorf("account %d", id)
					}
				}
			}
		})
	}
	for w, name := range names {
		rng := rand.New(rand.NewPCG(1, uint64(w)))
		writers.Go(func() {
			for range 25 {
				off := rng.IntN(2) == 0
				if err := h.SetDisabled(context.Background(), addr(name), off); err != nil {
					t.Error(err)
				}
				_, err := h.Resolve(context.Background(), addr(name))
				if errors.Is(err, ErrDisabled) != off {
					t.Errorf("%s was set to disabled %v, and Resolve says %v", name, off, err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

// Check must see what it is there to see.
func TestCheck(t *testing.T) {
	for problem, query := range map[string]string{
		"without a local domain": `DELETE FROM directory_domain WHERE name = 'example.org'`,
		"of one name":            `INSERT INTO directory_alias VALUES ('example.org', 'alice', 'alice')`,
		"targets of what":        `DELETE FROM directory_alias WHERE local_key = 'b'`,
		"that is not local":      `UPDATE directory_domain SET alias_of = 'gone.example' WHERE name = 'xn--bcher-kva.example'`,
		"that is an alias":       `UPDATE directory_alias SET local_key = '', local = ''; UPDATE directory_domain SET alias_of = 'xn--bcher-kva.example' WHERE name = 'example.org'`,
		"sends on to nobody":     `UPDATE directory_account SET forwarding = 1 WHERE local_key = 'other'`,
		"and does not":           `UPDATE directory_account SET local_key = 'b', local = 'b' WHERE local_key = 'other'`,
		"without targets":        `DELETE FROM directory_target WHERE local_key = 'b'`,
		"target that does not":   `UPDATE directory_target SET target_key = 'x' WHERE local_key = 'b'`,
		"would come back":        `UPDATE directory_target SET target_key = 'b' WHERE local_key = 'b'`,
		"filed under":            `UPDATE directory_account SET local_key = 'x' WHERE local_key = 'other'`,
		"hash cannot be read":    `UPDATE directory_account SET password = 'x'`,
		"SCRAM needs cannot":     `UPDATE directory_account SET scram = 'x'`,
		"its password counts":    `UPDATE directory_account SET protocols = 'gopher'`,
		"which does not exist":   `DELETE FROM directory_account WHERE local_key = 'alice'`,
		"was not given to it":    `UPDATE directory_app_password SET number = 7`,
		"app passwords of":       `UPDATE directory_app_password SET networks = 'x'`,
		"a second factor, or":    `INSERT INTO directory_recovery_code VALUES (1, 'x')`,
		"the use of a password":  `INSERT INTO directory_use VALUES (1, 99, 0, 'imap', '')`,
	} {
		h := open(t, nil)
		h.account("alice")
		h.account("other")
		h.alias("b", "alice")
		h.app("alice", NewAppPassword{Name: "phone"})
		if found := h.problems(); len(found) > 0 {
			t.Errorf("problems of a sound directory: %q", found)
		}
		h.damaged = true
		h.must(h.change(t.Context(), func(tx *sqldb.Tx) error {
			for one := range strings.SplitSeq(query, ";") {
				if _, err := tx.Exec(one); err != nil {
					return err
				}
			}
			return nil
		}))
		if found := strings.Join(h.problems(), "; "); !strings.Contains(found, problem) {
			t.Errorf("%s: Check found %q", problem, found)
		}
	}
}
