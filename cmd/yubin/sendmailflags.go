package main

import (
	"bytes"
	"strings"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// sendmailMode is what sendmail is asked to do.
type sendmailMode uint8

const (
	modeMessage  sendmailMode = iota // take a message from the standard input (-bm)
	modeSMTP                         // speak SMTP on it (-bs)
	modeQueue                        // list what waits (-bp, mailq)
	modeAliases                      // -bi, -I, newaliases
	modeRunQueue                     // -q
	modeHelp
)

// sendmailOptions are the flags of sendmail that mean something here.
type sendmailOptions struct {
	mode       sendmailMode
	fromHeader bool   // -t: recipients stand in the header, too
	dots       bool   // -i, -oi: a line with a dot alone does not end the message
	sender     string // -f, -r
	hasSender  bool
	fullName   string // -F
	notify     string // -N, for RCPT; "" says nothing
	ret        string // -R
	envID      string // -V
	verbose    bool   // -v
	config     string // -C
	recipients []string
}

const sendmailHelp = `Usage: yubin sendmail [flags] [--] [recipient ...]

Sends the message on the standard input, as sendmail does. Flags:
  -t            recipients are in To, Cc and Bcc, too; Bcc is taken out
  -i, -oi       a line with a dot alone does not end the message
  -f, -r ADDR   the sender
  -F NAME       the name in From, if the message has no From
  -N WHEN       reports: never, or failure, delay, success with commas
  -R full|hdrs  what a report brings back
  -V ID         an identifier that reports quote
  -v            show what is said to the server
  -C FILE       the server's configuration, which names the socket
  -bs           speak SMTP on the standard input and output
  -bp           list the queue (mailq)
  -bi, -q       nothing to do (newaliases; the queue runs by itself)
Other flags of sendmail (-B -G -L -O -U -X -h -m -n -o...) are taken and mean nothing.
Exit codes: 0 sent, 64 wrong command line, 65 wrong message, 67 unknown recipient,
75 not now, 77 not allowed.
`

// sendmailTakesValue are the flags that have a value, in the same word or the next.
const sendmailTakesValue = "ABCDFLNOQRVXbefhopr"

// sendmailMayHave are those whose value stands in the same word or is not there.
const sendmailMayHave = "qd"

// sendmailAlone are those that have none, which may be written together.
const sendmailAlone = "EGIMTUcimnstvxw"

// parseSendmail reads a command line of sendmail. Words that are no flags are recipients,
// and all words after "--".
func parseSendmail(name string, args []string) (o sendmailOptions, err error) {
	switch name {
	case "mailq":
		o.mode = modeQueue
	case "newaliases":
		o.mode = modeAliases
	}
	var names []string
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--help":
			o.mode = modeHelp
			return o, nil
		case word == "--":
			names, args = append(names, args...), nil
			continue
		case len(word) < 2 || word[0] != '-':
			names = append(names, word)
			continue
		}
		for rest := word[1:]; rest != ""; {
			flag, value := rest[0], rest[1:]
			rest = value
			switch {
			case strings.IndexByte(sendmailMayHave, flag) >= 0:
				rest = ""
			case strings.IndexByte(sendmailTakesValue, flag) >= 0:
				if rest = ""; value == "" {
					if len(args) == 0 {
						return o, exitf(exUsage, "the flag -%c needs a value; see yubin sendmail --help", flag)
					}
					value, args = args[0], args[1:]
				}
			case strings.IndexByte(sendmailAlone, flag) < 0:
				return o, exitf(exUsage, "the flag -%c is not known; see yubin sendmail --help", flag)
			}
			if err := o.set(flag, value); err != nil {
				return o, err
			}
		}
	}
	for _, a := range names {
		list, err := recipientsIn([]byte(a), exUsage)
		if err != nil {
			return o, err
		}
		o.recipients = append(o.recipients, list...)
	}
	if o.mode == modeMessage && len(o.recipients) == 0 && !o.fromHeader {
		return o, exitf(exUsage, "nobody is named to send to; name recipients, or say -t to take them from the header")
	}
	return o, nil
}

// set takes one flag.
func (o *sendmailOptions) set(flag byte, value string) error {
	switch flag {
	case 't':
		o.fromHeader = true
	case 'i':
		o.dots = true
	case 'v':
		o.verbose = true
	case 'I':
		o.mode = modeAliases
	case 'q':
		o.mode = modeRunQueue
	case 'o':
		if value == "i" || value == "ITrue" || value == "i1" {
			o.dots = true
		}
		if value == "v" {
			o.verbose = true
		}
	case 'f', 'r':
		o.sender, o.hasSender = strings.TrimSpace(value), true
	case 'F':
		o.fullName = value
	case 'C':
		o.config = value
	case 'N':
		when := strings.ToUpper(strings.ReplaceAll(value, " ", ""))
		for one := range strings.SplitSeq(when, ",") {
			if !(one == "FAILURE" || one == "DELAY" || one == "SUCCESS" || one == "NEVER" && when == "NEVER") {
				return exitf(exUsage, "-N wants never, or some of failure, delay and success with commas, not %q", value)
			}
		}
		o.notify = when
	case 'R':
		switch strings.ToLower(value) {
		case "full":
			o.ret = "FULL"
		case "hdrs":
			o.ret = "HDRS"
		default:
			return exitf(exUsage, "-R wants full or hdrs, not %q", value)
		}
	case 'V':
		o.envID = value
	case 'b':
		return o.setMode(value)
	}
	return nil
}

func (o *sendmailOptions) setMode(value string) error {
	switch value {
	case "m":
		o.mode = modeMessage
	case "s":
		o.mode = modeSMTP
	case "p":
		o.mode = modeQueue
	case "i":
		o.mode = modeAliases
	case "d", "D":
		return exitf(exUsage, "-b%s would start a server; yubin serve does", value)
	default:
		return exitf(exUsage, "-b%s is not done here; see yubin sendmail --help, and yubin route explain for where mail goes", value)
	}
	return nil
}

// recipientsIn are the addresses of a list; names without a domain stay so. wrong is the
// exit code if one is none.
func recipientsIn(list []byte, wrong int) (all []string, err error) {
	for _, a := range message.ParseAddressList(list) {
		if bytes.IndexByte(a.Mailbox, '@') >= 0 && !bytes.ContainsAny(list, `"\`) { // It is read as if it were quoted.
			return nil, exitf(wrong, "%s@%s is no address: it has more than one @", a.Mailbox, a.Host)
		}
		if a.Group != message.NoGroup {
			continue
		}
		one, err := pathOf(a, wrong)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// pathOf is an address as it stands in MAIL and RCPT: a name without a domain stays so,
// and the server completes it.
func pathOf(a message.MailAddress, wrong int) (string, error) {
	name := mail.Address{Local: string(a.Mailbox), Domain: "localhost"}
	bare, ok := strings.CutSuffix(name.String(), "@localhost")
	switch {
	case len(a.Mailbox) == 0:
		return "", exitf(wrong, "%q is no address", a.Name)
	case len(a.Host) > 0:
		full, err := mail.ParseAddress(bare + "@" + string(a.Host))
		if err != nil {
			return "", exitf(wrong, "%s@%s is no address", bare, a.Host)
		}
		return full.String(), nil
	case !ok || strings.ContainsAny(bare, "\" <>") || len(bare) > mail.MaxLocalPart:
		return "", exitf(wrong, "%q is no name", bare)
	}
	return bare, nil
}
