package certificates

import (
	"context"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/acme"
	"yubin/internal/world/sqldb"
)

// Renew orders certificates now, due or not: that of a name, or, if it is "", all that are
// failing or have none. It returns what they are called. Errors: NotFound; Invalid if none is
// to be ordered.
func (c *Certificates) Renew(ctx context.Context, name string) (list []string, err error) {
	if c.settingsNow().Off {
		return nil, errOff
	}
	c.mu.Lock()
	clear(c.looked)
	c.mu.Unlock()
	all, err := c.List(ctx)
	if err != nil {
		return nil, err
	}
	if name != "" {
		one, err := c.Show(ctx, name)
		if err != nil {
			return nil, err
		}
		if one.State == Waiting {
			return nil, mail.Errorf(mail.Invalid, "none of the names of %s leads to this server: %s", one.Name, whyLeftOut(one.LeftOut))
		}
		all = []Status{one}
	}
	for _, st := range all {
		if name != "" || st.State == Failing || st.State == Ordered || st.State == Ended {
			list = append(list, st.Name)
		}
	}
	return list, c.askFor(ctx, list...)
}

// askFor has certificates ordered by the node that orders, as soon as it looks.
func (c *Certificates) askFor(ctx context.Context, names ...string) error {
	err := c.change(ctx, func(tx *sqldb.Tx) error {
		for _, name := range names {
			tx.Do(`UPDATE certificate SET asked = 1 WHERE name = $1`, name)
		}
		return nil
	})
	c.wake()
	return err
}

var errOff = mail.Errorf(mail.Invalid, "no certificates are ordered here: the configuration has no [acme]")

func whyLeftOut(list []LeftOut) string {
	if len(list) == 0 {
		return "there are none"
	}
	return list[0].Name + ": " + list[0].Why
}

// RotateKey makes the next key of a certificate, and announces it: the certificate that is
// ordered after Announce has it; at once, one that is ordered now. Until that is there the old
// one is shown. Errors: NotFound; Exists if one is announced already.
func (c *Certificates) RotateKey(ctx context.Context, name string, atOnce bool) (st Status, err error) {
	if c.settingsNow().Off {
		return st, errOff
	}
	if st, err = c.Show(ctx, name); err != nil {
		return st, err
	}
	if !atOnce && st.NextKey != "" {
		return st, mail.Errorf(mail.Exists, "the next key of %s is announced already; it is taken after %s", st.Name, st.NextKeyAt.UTC().Format("2006-01-02 15:04 MST"))
	}
	from := c.now()
	if !atOnce {
		from = from.Add(Announce)
	}
	if _, _, err := c.addKey(ctx, st.Name, true, from, 0); err != nil {
		return st, err
	}
	if atOnce {
		if err := c.dropAccount(ctx); err != nil {
			return st, err
		}
		if err := c.askFor(ctx, st.Name); err != nil {
			return st, err
		}
	}
	if err := c.Refresh(ctx); err != nil { // The next key is announced.
		return st, err
	}
	c.wake()
	return c.Show(ctx, st.Name)
}

// dropAccount forgets the account with the authority if its key cannot be opened because
// secrets.key is another one: another account is made.
func (c *Certificates) dropAccount(ctx context.Context) error {
	s := c.settingsNow()
	return c.change(ctx, func(tx *sqldb.Tx) error {
		var sealed []byte
		err := tx.QueryRow(`SELECT private FROM certificate_account WHERE directory = $1`, s.Directory).Scan(&sealed)
		if err == sqldb.ErrNoRows {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := c.o.Secrets.Open(accountPurpose, s.Directory, sealed); foreign(err) {
			tx.Do(`DELETE FROM certificate_account WHERE directory = $1`, s.Directory)
		}
		return nil
	})
}

// Check verifies that each row can be read and belongs to another.
func (c *Certificates) Check(ctx context.Context, report func(problem string)) error {
	rows, keys, err := c.state(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, r := range rows {
		known[r.name] = true
		if !r.is() {
			continue
		}
		if _, err := c.load(ctx, r, keys[r.name]); err != nil && mail.KindOf(err) != mail.NotFound {
			report("the certificate of " + r.name + " cannot be shown: " + err.Error())
		}
	}
	for name := range keys {
		if !known[name] {
			report("there is a key of a certificate " + name + " that there is not")
		}
	}
	return nil
}

// advice says what to do about a failure, by the type that the authority gave it (RFC 8555
// §6.7).
func advice(fault string, s Settings) string {
	for _, a := range []struct{ typ, text string }{
		{"(rateLimited)", "The authority lets you ask again later; it is tried then by itself. Try things out with staging = true in [acme]"},
		{"(dns)", "Correct the DNS of the name; yubin dns check says what is wrong"},
		{"(caa)", "A CAA record of the domain forbids this authority: add it there, or remove the record"},
		{"(externalAccountRequired)", "The authority wants an account of its own: set eab_key_id and eab_key_file in [acme]"},
		{"(userActionRequired)", "The authority has new terms: read them, and tell it that you agree on its site"},
		{"(rejectedIdentifier)", "The authority does not make certificates for this name"},
	} {
		if strings.Contains(fault, a.typ) {
			return a.text
		}
	}
	switch {
	case strings.Contains(fault, "(connection)") || strings.Contains(fault, "(unauthorized)") || strings.Contains(fault, "(tls)"):
		switch s.Kind {
		case acme.HTTP01:
			return "Port 80 of this server must be reached from everywhere, and nothing else may answer there for /.well-known/acme-challenge/"
		case acme.TLSALPN01:
			return "Port 443 of this server must be reached from everywhere, and nothing else may end TLS there"
		}
		return "The name servers of the zone must all have the record: see [dns_update]"
	case strings.Contains(fault, "cannot be reached"):
		return "Let this server reach the authority by HTTPS"
	}
	return "It is tried again by itself; yubin cert renew tries at once"
}
