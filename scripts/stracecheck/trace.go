package main

import (
	"io"

	"yubin/internal/testkit/straceread"
)

// call is one system call that succeeded or failed.
type call = straceread.Call

// parseTrace reads what strace -f -yy -o FILE wrote.
func parseTrace(r io.Reader) ([]call, error) { return straceread.Parse(r) }
