package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"yubin/internal/world/config"
	"yubin/internal/world/obs"
)

// Exit codes of sysexits.h, which programs that call sendmail know.
const (
	exUsage       = 64 // the command line
	exDataErr     = 65 // the message
	exNoUser      = 67 // a recipient that nobody here has
	exUnavailable = 69 // what is asked for is not there
	exIOErr       = 74 // the message cannot be read
	exTempFail    = 75 // not now: try again
	exNoPerm      = 77 // not as this user
	exConfig      = 78
)

// exitCode is an error that says how the process ends.
type exitCode struct {
	code int
	err  error // what is told; nil if it was told already
}

func (e *exitCode) Error() string { return fmt.Sprint(e.err) }
func (e *exitCode) Unwrap() error { return e.err }

func exitf(code int, format string, args ...any) error {
	return &exitCode{code, fmt.Errorf(format, args...)}
}

// sendmailCmd is here for the list of commands; its flags are sendmail's and no others.
type sendmailCmd struct {
	Args []string `arg:"" optional:"" passthrough:"" help:"Flags of sendmail, and recipients."`
}

// Run sends a message as sendmail does.
func (c *sendmailCmd) Run(e *env) error { return e.sendmail("sendmail", c.Args) }

// calledAs is the name that the program was called by, if it is one of sendmail's.
func calledAs(program string) (name string, ok bool) {
	switch name = filepath.Base(program); name {
	case "sendmail", "mailq", "newaliases":
		return name, true
	}
	return "", false
}

// runSendmail is run under one of sendmail's names.
func (e *env) runSendmail(name string, args []string) int {
	e.stdout, e.stderr = obs.Printing(e.out), obs.Printing(e.console)
	return e.report(e.sendmail(name, args))
}

// sendmail does what sendmail does under one of its names.
func (e *env) sendmail(name string, args []string) error {
	o, err := parseSendmail(name, args)
	if err != nil {
		return err
	}
	switch o.mode {
	case modeHelp:
		fmt.Fprint(e.stdout, sendmailHelp)
		return nil
	case modeAliases: // They are looked up where they are.
		return e.did(nil, "nothing to do: aliases are in the data folder, see yubin alias --help")
	case modeRunQueue:
		return e.did(nil, "nothing to do: a running yubin carries what waits by itself, see yubin queue --help")
	case modeQueue:
		return e.mailq(o)
	}
	socket, err := e.submitSocket(o)
	if err != nil {
		return err
	}
	if o.mode == modeSMTP {
		return e.sendmailSMTP(socket)
	}
	return e.sendmailMessage(socket, o)
}

// mailq shows the queue to those who may see it.
func (e *env) mailq(o sendmailOptions) error {
	err := (&queueListCmd{place: place{Config: o.config}}).Run(e)
	if errors.Is(err, os.ErrPermission) || err != nil && strings.Contains(err.Error(), "its own user and root only") {
		return exitf(exNoPerm, "the queue is shown to root and to the user who runs the mail server")
	}
	return err
}

// submitSocket is where the server takes mail from users of this machine. What the
// configuration says is only known to those who may read it.
func (e *env) submitSocket(o sendmailOptions) (string, error) {
	if socket := e.getenv("YUBIN_SUBMIT"); socket != "" && o.config == "" {
		return socket, nil
	}
	file := cmp.Or(o.config, e.getenv("YUBIN_CONFIG"))
	named := file != ""
	if !named {
		file = e.system
	}
	c, err := config.Load(file)
	switch {
	case err == nil && c.Sendmail.Off:
		return "", exitf(exUnavailable, "the server takes no mail this way: [sendmail] in %s says enabled = false", file)
	case err == nil:
		return c.Sendmail.Socket, nil
	case named:
		return "", &exitCode{exConfig, err}
	}
	return config.SendmailSocket, nil
}

// submitPatience is how long a server that is just starting again is waited for.
const submitPatience = 10 * time.Second

// dialSubmit connects to the server.
func (e *env) dialSubmit(socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(e.ctx, submitPatience)
	defer cancel()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "unix", socket)
		if err == nil {
			return c, nil
		}
		again := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.EAGAIN)
		select {
		case <-ctx.Done():
			again = false
		case <-time.After(connectRetry):
		}
		if !again {
			return nil, exitf(exTempFail, "the mail server does not answer at %s (%v); nothing was sent, try again later", socket, reasonOf(err))
		}
	}
}

// reasonOf is why a connection could not be made, without where.
func reasonOf(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}

// sendmailSMTP joins a program that speaks SMTP (-bs) with the server, until either is
// done. Lines that end in LF alone are repaired.
func (e *env) sendmailSMTP(socket string) error {
	c, err := e.dialSubmit(socket)
	if err != nil {
		fmt.Fprintf(e.out, "421 4.3.2 the mail server does not answer; try again later\r\n")
		return err
	}
	defer c.Close()
	go func() {
		_, _ = io.Copy(&lineEnds{w: c}, e.stdin)
		_ = c.(*net.UnixConn).CloseWrite() // The server answers what it has, and ends.
	}()
	if _, err := io.Copy(e.out, c); err != nil {
		return exitf(exTempFail, "the connection to the mail server was lost: %v", reasonOf(err))
	}
	return nil
}

// lineEnds writes LF as CRLF.
type lineEnds struct {
	w  io.Writer
	cr bool // the last octet was a CR
}

func (l *lineEnds) Write(p []byte) (int, error) {
	out := make([]byte, 0, len(p)+len(p)/16)
	for _, c := range p {
		if c == '\n' && !l.cr {
			out = append(out, '\r')
		}
		out = append(out, c)
		l.cr = c == '\r'
	}
	if _, err := l.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
