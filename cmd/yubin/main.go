// Command yubin is a post office in one program: see README.md.
package main

import (
	"context"
	"os"
)

// version is set by the linker (see Makefile) and never changed.
var version string

func main() {
	e := &env{
		ctx:     context.Background(),
		stdin:   os.Stdin,
		out:     os.Stdout,
		console: os.Stderr,
		getenv:  os.Getenv,
		system:  systemConfig,
		version: version,
	}
	args := os.Args[1:]
	if name, ok := calledAs(os.Args[0]); ok {
		os.Exit(e.runSendmail(name, args))
	}
	os.Exit(e.run(args))
}
