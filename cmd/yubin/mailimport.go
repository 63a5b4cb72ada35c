package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/engine/transfer"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/files"
)

type importCmd struct {
	Maildir importMaildirCmd `cmd:"" help:"Take the mail of a Maildir: of Dovecot, Courier, Postfix and others."`
	Mbox    importMboxCmd    `cmd:"" help:"Take the mail of mbox files: of c-client, Dovecot, mutt, Thunderbird and others."`
	Imap    importIMAPCmd    `cmd:"" help:"Take the mail that somebody has on another server, by IMAP."`
	Forget  importForgetCmd  `cmd:"" help:"Forget what was imported into an account: when all has moved."`
}

// taking is what all imports have.
type taking struct {
	place
	Rename     map[string]string `help:"Where a folder goes, if not where its name says." placeholder:"FOLDER=MAILBOX"`
	Skip       []string          `help:"Leave this folder; can be said more than once." placeholder:"FOLDER" sep:"none"`
	Train      bool              `help:"Learn from what is taken what is junk: what is in the Junk folder is, the rest is not, but Trash, Drafts and Sent."`
	DryRun     bool              `help:"Only say what would be taken, and where it would go."`
	RemoveGone bool              `help:"What was taken before and is gone there since goes here too, unless its flags were changed here. It can be restored for a week."`
}

// several says whose mail is taken, if it is that of many.
type several struct {
	All string `help:"Of all accounts; %u stands for the address, %n for what is before the @, %d for the domain." placeholder:"TEMPLATE" xor:"whose"`
	Map string `help:"Of the accounts in this CSV file." type:"existingfile" placeholder:"FILE" xor:"whose"`
}

// mailImport is an import, with what is read for it.
type mailImport struct {
	admin.ImportMail
	from []*files.Place
}

// fill puts an address into a template.
func fill(template, address string) string {
	local, domain := address, ""
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		local, domain = address[:i], address[i+1:]
	}
	return strings.NewReplacer("%u", address, "%n", local, "%d", domain, "%%", "%").Replace(template)
}

type importMaildirCmd struct {
	taking
	several
	Address string `arg:"" optional:"" help:"Whose mail it becomes."`
	Dir     string `arg:"" optional:"" help:"The Maildir. You must be able to read it."`
	Running bool   `help:"The old server still runs: leave what it has not numbered yet for the next import."`
}

// Run takes one Maildir, or those of many.
func (c *importMaildirCmd) Run(e *env) error {
	if (c.All != "" || c.Map != "") == (c.Dir != "") {
		return usagef("say ADDRESS and DIR, or --all, or --map")
	}
	lend, err := e.lender(c.place)
	if err != nil {
		return err
	}
	return e.importMail(c.place, func(ctx context.Context, client *admin.Client) ([]mailImport, error) {
		switch {
		case c.Map != "":
			return readMap(e, c.place, c.Map, []string{"address", "path"}, func(cell map[string]string) (mailImport, error) {
				return c.one(lend, cell["address"], cell["path"])
			})
		case c.All != "":
			return allAccounts(ctx, client, func(address string) (mailImport, error) {
				local, domain, _ := strings.Cut(address, "@")
				if strings.ContainsAny(local+domain, "/\x00") || strings.HasPrefix(local, ".") {
					return mailImport{}, fmt.Errorf("the address %q cannot be in a path", address)
				}
				return c.one(lend, address, fill(c.All, address))
			})
		}
		in, err := c.one(lend, c.Address, c.Dir)
		return []mailImport{in}, err
	})
}

func (c *importMaildirCmd) one(lend lender, address, dir string) (mailImport, error) {
	from, err := lend.from(dir)
	return mailImport{admin.ImportMail{Account: address, Kind: "maildir", Rename: c.Rename, Skip: c.Skip,
		Running: c.Running, RemoveGone: c.RemoveGone, DryRun: c.DryRun, Train: c.Train}, from}, err
}

type importMboxCmd struct {
	taking
	Address string   `arg:"" help:"Whose mail it becomes."`
	Paths   []string `arg:"" type:"path" help:"mbox files, or folders of them. You must be able to read them."`
	Mailbox string   `help:"The mailbox for the only file; else it is called as the file." placeholder:"MAILBOX"`
	Quoting string   `help:"How lines that begin with From were kept apart: ${enum}." enum:"mboxrd,mboxo,none" default:"mboxrd"`
}

// Run takes files.
func (c *importMboxCmd) Run(e *env) error {
	if c.Mailbox != "" && len(c.Paths) > 1 {
		return usagef("--mailbox goes with one file")
	}
	from, err := c.place.from(e, c.Paths...)
	if err != nil {
		return err
	}
	return e.importMail(c.place, func(context.Context, *admin.Client) ([]mailImport, error) {
		return []mailImport{{admin.ImportMail{Account: c.Address, Kind: "mbox", Mailbox: c.Mailbox, Quoting: c.Quoting,
			Rename: c.Rename, Skip: c.Skip, RemoveGone: c.RemoveGone, DryRun: c.DryRun, Train: c.Train}, from}}, nil
	})
}

type importIMAPCmd struct {
	taking
	Address string `arg:"" optional:"" help:"Whose mail it becomes."`
	From    string `required:"" help:"The other server." placeholder:"HOST[:PORT]"`
	All     bool   `help:"Of all accounts; --user and --authzid are templates then, as is usual for master users: --user '%u*master'." xor:"whose"`
	Map     string `help:"Of the accounts in this CSV file with the columns address, user and password." type:"existingfile" placeholder:"FILE" xor:"whose"`

	User    string `help:"Who logs in there; else ADDRESS. %u, %n and %d stand for the address and its halves." default:"%u" placeholder:"USER"`
	Authzid string `help:"Whose mail to take, if --user is a master user who logs in as himself." placeholder:"USER"`
	withPassword
	TLS      string `name:"tls" help:"tls (port 993), starttls (port 143), or none, which is for this machine itself." enum:",tls,starttls,none" default:""`
	Insecure bool   `help:"Take any certificate; only from this machine itself."`
	Views    bool   `help:"Also mailboxes that only show mail of others, as Gmail's All Mail."`
}

// Run takes the mail of one person, or of many.
func (c *importIMAPCmd) Run(e *env) error {
	if (c.All || c.Map != "") == (c.Address != "") {
		return usagef("say ADDRESS, or --all, or --map")
	}
	if c.PasswordStdin && c.Map != "" {
		return usagef("the password comes with --password-stdin, or from the file of --map")
	}
	password := ""
	if c.Map == "" {
		var err error
		if password, err = c.read(e, c.User+" at "+c.From); err != nil {
			return err
		}
	}
	return e.importMail(c.place, func(ctx context.Context, client *admin.Client) ([]mailImport, error) {
		switch {
		case c.Map != "":
			return readMap(e, c.place, c.Map, []string{"address", "user", "password"}, func(cell map[string]string) (mailImport, error) {
				return c.one(cell["address"], cell["user"], cell["password"])
			})
		case c.All:
			return allAccounts(ctx, client, func(address string) (mailImport, error) {
				return c.one(address, fill(c.User, address), password)
			})
		}
		in, err := c.one(c.Address, fill(c.User, c.Address), password)
		return []mailImport{in}, err
	})
}

// one says how to take the mail of one person.
func (c *importIMAPCmd) one(address, user, password string) (mailImport, error) {
	r := admin.RemoteIMAP{Host: c.From, Security: c.TLS, Insecure: c.Insecure, User: user, Password: password, Views: c.Views,
		AuthzID: fill(c.Authzid, address)}
	if host, port, err := net.SplitHostPort(c.From); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return mailImport{}, usagef("%s has no port between 1 and 65535", c.From)
		}
		r.Host, r.Port = host, uint16(n)
	}
	if r.Security == "" {
		r.Security = "tls"
		if r.Port == 143 {
			r.Security = "starttls"
		}
	}
	if r.Port == 0 {
		r.Port = 143
		if r.Security == "tls" {
			r.Port = 993
		}
	}
	return mailImport{ImportMail: admin.ImportMail{Account: address, Kind: "imap", IMAP: &r, Rename: c.Rename, Skip: c.Skip,
		RemoveGone: c.RemoveGone, DryRun: c.DryRun, Train: c.Train}}, nil
}

// readMap reads a CSV file whose head line names the columns.
func readMap(e *env, p place, file string, columns []string, one func(map[string]string) (mailImport, error)) (list []mailImport, err error) {
	f, err := e.input(p, file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := csv.NewReader(f)
	in.TrimLeadingSpace = true
	head, err := in.Read()
	if err != nil {
		return nil, fmt.Errorf("%s: the head line: %w", file, err)
	}
	for _, c := range columns {
		if !slices.Contains(head, c) {
			return nil, fmt.Errorf("%s: the head line must name the columns %s", file, strings.Join(columns, ", "))
		}
	}
	for {
		row, err := in.Read()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		cell := make(map[string]string)
		for i, name := range head {
			cell[name] = row[i]
		}
		m, err := one(cell)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
}

func allAccounts(ctx context.Context, client *admin.Client, one func(address string) (mailImport, error)) (list []mailImport, err error) {
	accounts, err := client.Accounts(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, a := range accounts {
		m, err := one(a.Address)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// transferred is what is told of one account.
type transferred struct {
	Account string `json:"account"`
	transfer.Report
	Error string `json:"error,omitempty"`
}

// importMail runs the imports that plan names.
func (e *env) importMail(p place, plan func(context.Context, *admin.Client) ([]mailImport, error)) error {
	return e.admin(p, func(ctx context.Context, client *admin.Client) error {
		list, err := plan(ctx, client)
		if err != nil {
			return err
		}
		return eachTransfer(ctx, list, func(in mailImport) (failed bool) {
			show := newProgress(e, time.Now)
			report, err := client.ImportMail(ctx, in.ImportMail, in.from, show.showTransfer(in.Account))
			show.end()
			none := len(list) > 1 && err != nil && mail.KindOf(err) == mail.NotFound
			did := "taken"
			if in.DryRun {
				did = "would be taken"
			}
			return e.tellTransfer(in.Account, did, report, err, none)
		})
	})
}

// eachTransfer runs imports or exports one after another. One that fails does
// not stop the others.
func eachTransfer[T any](ctx context.Context, list []T, run func(T) (failed bool)) error {
	failed := false
	for _, x := range list {
		failed = run(x) || failed
		if ctx.Err() != nil {
			return errors.New("stopped; run it again to go on")
		}
	}
	if failed {
		return errSilent
	}
	return nil
}

// tellTransfer tells a report, and whether something failed. none says that an
// error is only that there is no mail.
func (e *env) tellTransfer(account, did string, r transfer.Report, err error, none bool) (failed bool) {
	t := transferred{Account: account, Report: r}
	if err != nil {
		t.Error = err.Error()
	}
	_ = e.show(t, func(w io.Writer) {
		if err == nil {
			writeLine(w, "%s: %s", account, summary(did, r))
		}
	})
	if !e.json {
		for _, n := range r.Notes {
			e.tell("%s: note: %s", account, n)
		}
		for _, f := range r.Failures {
			e.tell("%s: %s", account, failureText(f))
		}
		if more := r.Failed - len(r.Failures); more > 0 {
			e.tell("%s: and %d more", account, more)
		}
		if err != nil {
			e.tell("%s: %v", account, err)
		}
	}
	return r.Failed > 0 || err != nil && !none
}

func failureText(f transfer.Failure) string {
	if f.Message == "" {
		return fmt.Sprintf("%s: %s", f.Folder, f.Reason)
	}
	return fmt.Sprintf("%s: %s: %s", f.Folder, f.Message, f.Reason)
}

// summary is a report in a line.
func summary(did string, r transfer.Report) string {
	text := fmt.Sprintf("%s, %s %s (%s), %d were there", count(int(r.Folders), "folder", "folders"), messages(int64(r.Taken)), did, octets(r.Octets), r.There)
	for _, more := range []struct {
		n    int
		what string
	}{{r.Learned, "learned from"}, {r.Updated, "got other flags"}, {r.Removed, "removed"}, {r.Waiting, "wait for the next import"}, {r.Failed, "failed"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return text
}

// showTransfer tells how far an import or export is.
func (p *progress) showTransfer(account string) func(transfer.Progress) {
	return func(at transfer.Progress) {
		p.tell(func(running time.Duration) string {
			return fmt.Sprintf("%s: folder %d of %d, %s: %s, %s, %.0f a second", account, min(at.Folders+1, at.Of), at.Of,
				at.Folder, messages(int64(at.Messages)), octets(at.Octets), float64(at.Messages)/running.Seconds())
		})
	}
}

type importForgetCmd struct {
	place
	Address string `arg:"" help:"Whose."`
}

// Run makes the server forget.
func (c *importForgetCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		out, err := client.ForgetImports(ctx, c.Address)
		if err != nil {
			return err
		}
		return e.did(out, "%s remembered no longer; the mail stays", count(int(out.Messages), "message is", "messages are"))
	})
}
