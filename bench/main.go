// Bench measures yubin beside Debian's Postfix and Dovecot, OpenSMTPD and Exim:
// the same load on each in turn, in the same run on the same machine, several
// rounds. It prints tables and writes them to bench/RESULTS.md.
//
//	go run ./bench run                             everything
//	go run ./bench run --rows accept,imap --quick  some of it, with less in each
//	scripts/with-postgres --fsync go run ./bench run   with yubin on PostgreSQL as well
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/alecthomas/kong"
)

type cli struct {
	Run runCmd `cmd:"" help:"Measure and write the results."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("bench"), kong.UsageOnError(), kong.Description("Measures yubin beside other mail servers."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	k.BindTo(ctx, (*context.Context)(nil))
	err := k.Run()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
