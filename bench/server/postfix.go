package server

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed conf
var conf embed.FS

// Postfix is Debian's Postfix, which delivers to Debian's Dovecot over LMTP.
type Postfix struct {
	Packages Packages
	Dir      string
	Format   string // mdbox or maildir
	Offset   int    // of its ports, which are numbered as yubin's
	Accounts int
	Onward   Onward
	Filter   *Rspamd // asked about each message that comes; nil for nobody
	Log      bool    // Postfix logs to a file; off, as its log costs time and nobody reads it

	MailOnly        bool // without Postfix
	RelayOnly       bool // without Dovecot
	LMTPConcurrency int  // 0 is 20, Postfix's default

	master  int  // Postfix's
	filling bool // Dovecot syncs nothing
}

// Name tells the format too.
func (p *Postfix) Name() string {
	if p.RelayOnly {
		return "Postfix"
	}
	if p.MailOnly {
		return "Dovecot"
	}
	if p.Filter != nil {
		return "Postfix+rspamd+Dovecot " + p.Format
	}
	return "Postfix+Dovecot " + p.Format
}

// Version tells both.
func (p *Postfix) Version() string {
	if p.RelayOnly {
		return p.Packages.version("mail", "postfix")
	}
	if p.MailOnly {
		return p.Packages.version("mail", "dovecot-core")
	}
	both := p.Packages.version("mail", "postfix") + ", " + p.Packages.version("mail", "dovecot-core")
	if p.Filter != nil {
		both += ", " + p.Packages.version("filters", "rspamd")
	}
	return both
}

// Durable says when each says 250.
func (p *Postfix) Durable() string {
	if p.RelayOnly {
		return "250 after the fsync of its queue file"
	}
	const dovecot = "Dovecot: LMTP's 250 after fsync or fdatasync of the message (mail_fsync=optimized, its default)"
	if p.MailOnly {
		return dovecot
	}
	return "Postfix: 250 after the fsync of its queue file; " + dovecot
}

// Folder is the folder of the mailboxes.
func (p *Postfix) Folder() string { return p.path("dovecot", "mail") }

func (p *Postfix) path(parts ...string) string {
	return filepath.Join(append([]string{p.Dir}, parts...)...)
}

// Doors are numbered as localserve's.
func (p *Postfix) Doors() Doors {
	o := p.Offset
	return Doors{SMTP: 2525 + o, Relay: 2525 + o, Submission: 2465 + o, LMTP: 2424 + o, IMAP: 2143 + o, IMAPS: 2993 + o, POP3: 2110 + o}
}

// Roots are Postfix's master and Dovecot's.
func (p *Postfix) Roots() []int {
	if p.MailOnly {
		return p.MailRoots()
	}
	roots := []int{p.master, pidFile(p.path("dovecot", "run", "master.pid"))}
	if p.Filter != nil && p.Filter.cmd != nil {
		roots = append(roots, p.Filter.cmd.Process.Pid)
	}
	return roots
}

// MailRoots is Dovecot's master, for what mailboxes alone cost.
func (p *Postfix) MailRoots() []int { return []int{pidFile(p.path("dovecot", "run", "master.pid"))} }

// Waiting counts queue files.
func (p *Postfix) Waiting() (int, error) {
	return countFiles(p.path("postfix", "queue", "incoming"), p.path("postfix", "queue", "active"))
}

// Start writes the configuration and starts both.
func (p *Postfix) Start(ctx context.Context) error {
	if err := p.configure(); err != nil {
		return err
	}
	var err error
	if p.Filter != nil {
		err = p.Filter.Start(ctx)
	}
	if err == nil && !p.MailOnly {
		err = p.startPostfix(ctx)
	}
	if err == nil && !p.RelayOnly {
		err = p.startDovecot(ctx)
	}
	if err != nil {
		return errors.Join(err, p.Stop())
	}
	return nil
}

func (p *Postfix) startDovecot(ctx context.Context) error {
	if err := daemon(p.Packages.Command(ctx, "mail", "dovecot", "-c", p.path("dovecot", "dovecot.conf")), p.path("dovecot", "start")); err != nil {
		return err
	}
	for _, port := range []int{p.Doors().IMAP, p.Doors().POP3, p.Doors().LMTP} {
		if err := awaitGreeting(ctx, port); err != nil {
			return fmt.Errorf("%w\n%s", err, tail(p.path("dovecot", "log")))
		}
	}
	return nil
}

func (p *Postfix) startPostfix(ctx context.Context) error {
	if err := daemon(p.Packages.Command(ctx, "mail", "postfix", "-c", p.path("postfix", "etc"), "start"), p.path("postfix", "start")); err != nil {
		return err
	}
	limit := time.Now().Add(startLimit)
	for p.master == 0 && time.Now().Before(limit) {
		time.Sleep(10 * time.Millisecond)
		p.master = pidFile(p.path("postfix", "queue", "pid", "master.pid"))
	}
	if p.master == 0 {
		return errors.New("postfix: master did not start")
	}
	return awaitGreeting(ctx, p.Doors().SMTP)
}

// Filling restarts it so that Dovecot syncs nothing, or syncs again: to fill a
// mailbox in minutes, before the clock runs.
func (p *Postfix) Filling(ctx context.Context, on bool) error {
	p.filling = on
	return errors.Join(p.Stop(), p.Start(ctx))
}

// Fsync is the setting of mail_fsync: its default, but while filling.
func (p *Postfix) Fsync() string {
	if p.filling {
		return "never"
	}
	return "optimized"
}

// Stop ends both.
func (p *Postfix) Stop() error {
	err := errors.Join(stop(p.master), stop(pidFile(p.path("dovecot", "run", "master.pid"))))
	p.master = 0
	if p.Filter != nil {
		err = errors.Join(err, p.Filter.Stop())
	}
	return err
}

type settings struct {
	*Postfix
	Doors
	Domain, Dir, LMTPSocket, Auth, Cert, Key, Location string
}

func (p *Postfix) configure() error {
	if p.LMTPConcurrency == 0 {
		p.LMTPConcurrency = 20
	}
	for _, d := range []string{"postfix/etc", "postfix/queue", "postfix/data", "dovecot/run", "dovecot/state", "dovecot/mail"} {
		if err := os.MkdirAll(p.path(d), 0o755); err != nil {
			return err
		}
	}
	for name, user := range map[string]string{"postfix/data": "postfix", "dovecot/mail": "vmail"} {
		if err := os.Chown(p.path(name), userID(user), userID(user)); err != nil {
			return err
		}
	}
	s := settings{Postfix: p, Doors: p.Doors(), Domain: Domain, LMTPSocket: p.path("dovecot", "run", "lmtp"), Auth: p.path("dovecot", "run", "auth-postfix"),
		Cert: p.path("postfix", "etc", "cert.pem"), Key: p.path("postfix", "etc", "key.pem"),
		Location: map[string]string{"mdbox": "mdbox:~/mdbox", "maildir": "maildir:~/Maildir"}[p.Format]}
	if err := makeCertificate(s.Cert, s.Key); err != nil {
		return err
	}
	if err := p.files(s); err != nil {
		return err
	}
	return os.WriteFile(p.path("dovecot", "users"), []byte(p.passwd()), 0o644)
}

// files writes the templates, and the scripts that `postfix start` wants beside them.
func (p *Postfix) files(s settings) error {
	for name, to := range map[string]string{"main.cf": "postfix/etc", "master.cf": "postfix/etc", "dovecot.conf": "dovecot"} {
		s.Dir = p.path(strings.Split(to, "/")[0])
		t, err := template.ParseFS(conf, "conf/"+name)
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := t.Execute(&b, s); err != nil {
			return err
		}
		if err := os.WriteFile(p.path(to, name), []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	from := filepath.Join(p.Packages.Folder, "mail", "etc", "postfix")
	for _, name := range []string{"post-install", "postfix-files", "postfix-script"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(p.path("postfix", "etc", name), b, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (p *Postfix) passwd() string {
	var b strings.Builder
	for i := range p.Accounts {
		fmt.Fprintf(&b, "%s:{PLAIN}%s::::::\n", Account(i), Password)
	}
	return b.String()
}
