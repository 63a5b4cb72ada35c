package main

import (
	"context"
	"io"
	"strings"
	"time"

	"yubin/internal/engine/certificates"
	"yubin/internal/server/admin"
)

type certCmd struct {
	List      certListCmd   `cmd:"" help:"List the certificates that an authority makes: state, names, end, next renewal."`
	Show      certShowCmd   `cmd:"" help:"Tell everything of one: what went wrong last, in the authority's words, and what to do."`
	Renew     certRenewCmd  `cmd:"" help:"Order one now, due or not; without a name all that failed."`
	RotateKey certRotateCmd `cmd:"" name:"rotate-key" help:"Make the next key of a certificate; it is announced for three days, for TLSA records, before a certificate has it."`
}

type certListCmd struct {
	place
}

func (c *certListCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list, err := client.CertificateList(ctx)
		if err != nil {
			return err
		}
		return e.show(list, func(w io.Writer) { writeCertificates(w, list, time.Now()) })
	})
}

// writeCertificates writes a row for each certificate, and a line for each thing that keeps
// one from being had.
func writeCertificates(w io.Writer, list []admin.Certified, now time.Time) {
	t := table{{"CERTIFICATE", "STATE", "ENDS", "NEXT ORDER", "FOR"}}
	for _, c := range list {
		t.add(c.Name, string(c.State), orNone(c.Ends), nextOrder(c, now), strings.Join(c.Names, " "))
	}
	if len(list) == 0 {
		writeLine(w, "there are no certificates of an authority: with [acme] in the configuration, the server orders them")
		return
	}
	t.write(w)
	for _, c := range list {
		if c.Fault != "" {
			writeLine(w, "%s: %s. %s", c.Name, c.Fault, c.Advice)
		}
		for _, l := range c.LeftOut {
			writeLine(w, "%s is left out: %s", l.Name, l.Why)
		}
	}
}

func orNone(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func nextOrder(c admin.Certified, now time.Time) string {
	switch {
	case c.Why == "":
		return "-"
	case !c.Next.After(now):
		return "now"
	}
	return c.Next.Local().Format(time.DateTime)
}

type certShowCmd struct {
	place
	Name string `arg:"" help:"What it is called, or a name that it is for."`
}

func (c *certShowCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		st, err := client.CertificateOf(ctx, c.Name)
		if err != nil {
			return err
		}
		return e.show(st, func(w io.Writer) { writeCertificate(w, st, time.Now()) })
	})
}

// writeCertificate writes all of a certificate.
func writeCertificate(w io.Writer, c admin.Certified, now time.Time) {
	t := table{}
	add := func(what, text string) {
		if text != "" {
			t.add(what, text)
		}
	}
	add("certificate", c.Name)
	add("state", string(c.State))
	add("for", strings.Join(c.Names, " "))
	add("still missing", strings.Join(c.Missing, " "))
	for _, l := range c.LeftOut {
		add("left out", l.Name+": "+l.Why)
	}
	add("issuer", c.Issuer)
	add("serial", c.Serial)
	add("authority", c.Directory)
	if !c.Ends.IsZero() {
		add("issued", orNone(c.Issued))
		add("ends", orNone(c.Ends))
	}
	if c.Why != "" {
		add("next order", nextOrder(c, now)+", "+c.Why)
	}
	add("told by the authority", c.Reason)
	add("key", c.Key)
	if c.NextKey != "" {
		add("next key", c.NextKey+", from "+orNone(c.NextKeyAt)+" on")
	}
	if c.Fault != "" {
		add("last failure", orNone(c.Failed)+": "+c.Fault)
		add("what to do", c.Advice)
	}
	t.write(w)
}

type certRenewCmd struct {
	place
	Name string        `arg:"" optional:"" help:"What it is called, or a name that it is for."`
	Wait time.Duration `help:"Wait for what becomes of it, at most so long: 2m." placeholder:"TIME"`
}

func (c *certRenewCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		names, err := client.RenewCertificates(ctx, c.Name)
		if err != nil {
			return err
		}
		if c.Wait > 0 {
			return c.await(ctx, e, client, names)
		}
		return e.show(names, func(w io.Writer) {
			for _, name := range names {
				writeLine(w, "%s is ordered by the server within a minute; yubin cert show %s says what became of it", name, name)
			}
			if len(names) == 0 {
				writeLine(w, "nothing is to be ordered: no certificate is missing, and none has failed")
			}
		})
	})
}

// await waits until all were tried, and shows them. It fails if one of them did, or was not
// tried in time.
func (c *certRenewCmd) await(ctx context.Context, e *env, client *admin.Client, names []string) error {
	until := time.Now().Add(c.Wait)
	list := []admin.Certified{}
	failed := false
	for _, name := range names {
		st, err := client.CertificateOf(ctx, name)
		for err == nil && st.Asked && time.Now().Before(until) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Second):
			}
			st, err = client.CertificateOf(ctx, name)
		}
		if err != nil {
			return err
		}
		failed = failed || st.Asked || st.State != certificates.Valid
		list = append(list, st)
	}
	if err := e.show(list, func(w io.Writer) { writeCertificates(w, list, time.Now()) }); err != nil || !failed {
		return err
	}
	return errSilent
}

type certRotateCmd struct {
	place
	Name string `arg:"" help:"What it is called, or a name that it is for."`
	Now  bool   `help:"Do not announce it: order a certificate with it at once, as when the old key was seen by others."`
}

func (c *certRotateCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		st, err := client.RotateCertificateKey(ctx, c.Name, c.Now)
		if err != nil {
			return err
		}
		return e.show(st, func(w io.Writer) {
			writeLine(w, "the next key of %s: its TLSA record has 3 1 1 %s", st.Name, st.NextKey)
			if c.Now {
				writeLine(w, "a certificate with it is ordered within a minute; publish the record now, others refuse mail until they see it")
				return
			}
			writeLine(w, "publish that record beside the present one; the certificate that is ordered after %s has this key", orNone(st.NextKeyAt))
		})
	})
}
