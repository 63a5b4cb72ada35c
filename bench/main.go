// Bench puts load on a mail server by SMTP, LMTP, IMAP and POP3 and prints what
// it measured: messages a second, the 50th and 99th percentile of the time of
// one, and the memory of the server.
//
//	go run ./bench all                 builds yubin, starts it, runs every row
//	go run ./bench smtp --address ...  one load on a server that runs already
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
)

// target is the server under load.
type target struct {
	Host     string `default:"127.0.0.1" help:"Where the server listens; loopback only."`
	Accounts int    `default:"3" help:"How many accounts mail is spread over: alice, bob, carol, then load0004 and on."`
	Domain   string `default:"yubin.test"`
	Password string `default:"yubin-local"`
	PID      int    `help:"The server's process, to read its memory."`
}

// cli is the command line.
type cli struct {
	All  allCmd  `cmd:"" help:"Build yubin, start it on a scratch folder, run every row, print a table."`
	SMTP smtpCmd `cmd:"" help:"Deliver messages by SMTP."`
	LMTP lmtpCmd `cmd:"" help:"Deliver messages by LMTP."`
	IMAP imapCmd `cmd:"" help:"Read a mailbox by IMAP."`
	POP3 pop3Cmd `cmd:"" help:"Read a maildrop by POP3."`

	Restart restartCmd `cmd:"" help:"Fill a store and measure how long a start takes."`
}

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("bench"), kong.UsageOnError(),
		kong.Description("Puts load on a mail server and prints what it measured."))
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
