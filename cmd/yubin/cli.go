package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"yubin/internal/mail"
	"yubin/internal/world/config"
	"yubin/internal/world/obs"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// env is what a command has of the world.
type env struct {
	ctx     context.Context
	stdin   io.Reader
	out     io.Writer // the standard output as it is
	console *os.File  // the standard error output as it is
	stdout  io.Writer // what commands write to: Printable
	stderr  io.Writer
	getenv  func(string) string
	system  string // the configuration of a server that was installed
	version string
	json    bool
	guessed bool // which server is meant was told
}

// commandLine is all commands and flags.
type commandLine struct {
	JSON        bool `help:"Write results as JSON: one value, and of a list one a line."`
	ShowVersion bool `name:"version" help:"Print the version."`

	Localserve  localserveCmd  `cmd:"" help:"Try it: a post office on 127.0.0.1 with three accounts and nothing to set up."`
	Setup       setupCmd       `cmd:"" help:"Make a post office on this machine: looks whether it is fit, asks four questions, makes all that is needed, and says what to write into the DNS."`
	SetupOffice setupOfficeCmd `cmd:"" hidden:"" name:"setup-office" help:"What setup does as the user of the service."`
	Serve       serveCmd       `cmd:"" help:"Run the server."`
	CheckConfig checkConfigCmd `cmd:"" help:"Tell everything that is wrong with a configuration."`
	Domain      domainCmd      `cmd:"" help:"The domains whose mail is kept here."`
	Account     accountCmd     `cmd:"" help:"The people who have mail here."`
	Quota       siteQuotaCmd   `cmd:"" help:"Show or set how much each account may hold, if neither it nor its domain has a quota."`
	Retention   retentionCmd   `cmd:"" help:"How long mail stays in Trash, Junk and other mailboxes; forever, unless it was said otherwise."`
	Alias       aliasCmd       `cmd:"" help:"Addresses that stand for others."`
	Clients     clientsCmd     `cmd:"" name:"client-settings" help:"Say what to enter in a mail client: hosts, ports, security, user name."`
	LDAP        ldapCmd        `cmd:"" name:"ldap" help:"The LDAP directories that know the people of domains."`
	Group       groupCmd       `cmd:"" help:"Accounts that are named together, for mail and for what they may do."`
	Route       routeCmd       `cmd:"" help:"Where mail for other servers goes."`
	MTASTS      mtastsCmd      `cmd:"" name:"mta-sts" help:"What other domains ask of the connections that bring them mail (MTA-STS)."`
	Copy        copyCmd        `cmd:"" help:"Who gets copies of mail: archives, journals."`
	Network     networkCmd     `cmd:"" help:"The networks whose computers may send to anywhere without logging in."`
	OAuth       oauthCmd       `cmd:"" name:"oauth" help:"The provider of identities whose tokens people log in with."`
	Ban         banCmd         `cmd:"" help:"Addresses that are turned away because they guess, scan or flood."`
	Apply       applyCmd       `cmd:"" help:"Make domains, accounts, aliases, groups, routes and networks be as a file says, after showing what that changes."`
	Dump        dumpCmd        `cmd:"" help:"Write such a file of what there is."`
	Queue       queueCmd       `cmd:"" help:"Mail that is on its way out."`
	Selftest    selftestCmd    `cmd:"" help:"Send a message round by submission, MX and IMAP, look at all that mail stands on, and say what is wrong and what to do."`
	Status      statusCmd      `cmd:"" help:"Show on one screen how the server is; the exit code is for monitoring."`
	Sendmail    sendmailCmd    `cmd:"" help:"Send the message on the standard input, as sendmail does. Any user may."`
	Trace       traceCmd       `cmd:"" help:"Tell everything known of a message: how it came, where it went, why it was refused."`
	SPF         spfCmd         `cmd:"" name:"spf" help:"Check what SPF says of mail."`
	DKIM        dkimCmd        `cmd:"" name:"dkim" help:"Signatures on mail: verify and make them, the keys of our domains, and what must be in the DNS."`
	Cert        certCmd        `cmd:"" help:"The certificates that an authority makes for this server, and their keys."`
	ARC         arcCmd         `cmd:"" name:"arc" help:"Verify and extend the chain of those who passed a message on."`
	DMARC       dmarcCmd       `cmd:"" name:"dmarc" help:"Check what DMARC says of mail."`
	DNS         dnsCmd         `cmd:"" name:"dns" help:"The records of a domain in the DNS: print, check and publish them."`
	Judge       judgeCmd       `cmd:"" help:"Say what would become of a message that a stranger brings, and why. Nothing is kept."`
	Reports     reportsCmd     `cmd:"" help:"What other servers report of mail in the names of your domains, and what is reported to them."`
	Junk        junkCmd        `cmd:"" help:"What was learned of junk mail from what people do with it."`
	Audit       auditCmd       `cmd:"" help:"Tell what administrators changed, who and when."`
	Check       checkCmd       `cmd:"" help:"Verify the whole store, while it is in use."`
	Backup      backupCmd      `cmd:"" help:"Copy everything into a folder of snapshots, while the server runs."`
	Restore     restoreCmd     `cmd:"" help:"Make a data folder of a snapshot, or put a mailbox or message of one back."`
	Move        moveCmd        `cmd:"" help:"Carry everything to another data folder and database, while the server runs."`
	Import      importCmd      `cmd:"" help:"Take mail from elsewhere: a Maildir, mbox files, another server."`
	Export      exportCmd      `cmd:"" help:"Write mail as files that other programs read."`
	Profile     profileCmd     `cmd:"" help:"See what a running server does: a profile for go tool pprof."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
	Help        helpCmd        `cmd:"" help:"Tell what a command does and takes."`
}

// errUsage makes run exit with exitUsage.
var errUsage = errors.New("usage")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// run runs one command line and returns the exit code.
func (e *env) run(args []string) int {
	if len(args) > 0 && args[0] == "sendmail" { // Its flags are no flags of ours.
		return e.runSendmail(args[0], args[1:])
	}
	e.stdout, e.stderr = obs.Printing(e.out), obs.Printing(e.console)
	var line commandLine
	parser, err := kong.New(&line,
		kong.Name("yubin"),
		kong.Description("A post office in one program: it takes mail, keeps it or carries it on, and lets people read it."),
		kong.Writers(e.stdout, e.stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: false}),
	)
	if err != nil {
		panic(err) // The structs above are wrong.
	}
	if args, err = spelledOut(parser.Model.Node, args); err != nil {
		return e.report(err)
	}
	if slices.Equal(args, []string{"sendmail", "--help"}) {
		return e.runSendmail(args[0], args[1:])
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		command := "yubin"
		if wrong := (*kong.ParseError)(nil); errors.As(err, &wrong) && wrong.Context.Selected() != nil {
			command += " " + wrong.Context.Selected().Path()
		}
		text := strings.Replace(err.Error(), `must be one of "",`, "must be one of ", 1) // Nothing said is nothing that can be said.
		fmt.Fprintf(e.stderr, "yubin: %s; see %s --help\n", text, command)
		return exitUsage
	}
	e.json = line.JSON
	if line.ShowVersion {
		return e.report(versionCmd{}.Run(e))
	}
	return e.report(parsed.Run(e))
}

// helpCmd is known to the parser so that help lists it; spelledOut makes it a flag.
type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The words of the command: queue list."`
}

// spelledOut turns the ways in which people ask for help and for the version into
// those that the parser knows.
func spelledOut(commands *kong.Node, args []string) ([]string, error) {
	var flags []string
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "--version" {
		flags, args = append(flags, args[0]), args[1:]
	}
	switch {
	case len(flags) == 0 && len(args) == 0:
		return []string{"--help"}, nil
	case len(args) > 0 && args[0] == "--version":
		return append(append(flags, "version"), args[1:]...), nil
	case len(args) == 0 || args[0] != "help":
		return append(flags, args...), nil
	}
	words := slices.DeleteFunc(args[1:], func(word string) bool { return strings.HasPrefix(word, "-") })
	for i, word := range words {
		at := slices.IndexFunc(commands.Children, func(n *kong.Node) bool { return n.Name == word || slices.Contains(n.Aliases, word) })
		if at < 0 {
			return nil, usagef("there is no command %s; yubin help lists all", strings.Join(words[:i+1], " "))
		}
		commands = commands.Children[at]
	}
	return append(words, "--help"), nil
}

// report tells err, one line for each thing that is wrong.
func (e *env) report(err error) int {
	var code *exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errSilent):
		return exitFailure
	case errors.As(err, &code):
		if code.err != nil {
			e.tellError(code.err)
		}
		return code.code
	}
	e.tellError(err)
	if errors.Is(err, errUsage) || mail.KindOf(err) == mail.Invalid { // What was asked for has no sense, whatever the server.
		return exitUsage
	}
	return exitFailure
}

// tellError tells each of errors that were joined, and each fault of a
// configuration, in a line of its own.
func (e *env) tellError(err error) {
	if faults, ok := err.(*config.Faults); ok {
		fmt.Fprintln(e.stderr, "yubin:", faults)
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && strings.Contains(err.Error(), "\n") {
		for _, one := range joined.Unwrap() {
			e.tellError(one)
		}
		return
	}
	if k := mail.KindOf(err); k == mail.Internal || k == mail.Unavailable { // Its text is for anybody; who runs the command wants the cause.
		err = errors.New(obs.Reason(err))
	}
	e.tell("%v", err)
}

// errSilent is a failure that has been told already.
var errSilent = errors.New("told already")
