package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"golang.org/x/term"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
)

// withPassword is the flag of commands that take a password.
type withPassword struct {
	PasswordStdin bool `help:"Read the password from the first line of the standard input. Without it, it is asked for on a terminal."`
}

// newPassword is withPassword for a password that is to be set.
type newPassword struct {
	withPassword
	AllowWeakPassword bool `help:"Take a password that is soon guessed: short, common, or made of the address."`
}

// Limits on reading passwords.
const (
	maxPasswordLine = 4096 // octets of the standard input that are looked at
	maxPasswordAsks = 3    // until it was typed twice alike
)

// read takes the password of whom from the standard input: a line, or what is typed
// unseen if that is a terminal.
func (p withPassword) read(e *env, whom string) (string, error) {
	if in, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		return e.ask(in, "password of "+whom+": ")
	}
	if !p.PasswordStdin {
		return "", usagef("there is no terminal to ask for the password; give it on the standard input, with --password-stdin")
	}
	return passwordLine(e.stdin)
}

// passwordLine reads a password that is the first line of what comes.
func passwordLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxPasswordLine)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	typed := strings.TrimRight(line, "\r\n")
	if typed == "" {
		return "", usagef("there is no password on the standard input")
	}
	return typed, nil
}

// read is that of withPassword; on a terminal it asks twice.
func (p newPassword) read(e *env, whom string) (string, error) {
	in, ok := e.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return p.withPassword.read(e, whom)
	}
	owner, _ := mail.ParseAddress(whom) // Who makes the account tells of one that is none.
	var weak error
	for range maxPasswordAsks {
		first, err := e.ask(in, "new password of "+whom+": ")
		if err != nil {
			return "", err
		}
		if weak = password.CheckFloor(first, owner); weak != nil && !p.AllowWeakPassword {
			e.tell("%v", weak)
			continue
		}
		again, err := e.ask(in, "once more: ")
		if err != nil {
			return "", err
		}
		if first == again {
			return first, nil
		}
		e.tell("the two are not the same; type it again")
	}
	if weak != nil && !p.AllowWeakPassword {
		return "", errors.New("no password was taken; nothing was changed")
	}
	return "", errors.New("the two passwords were never the same; nothing was changed")
}

// ask reads a line from a terminal that does not show it.
func (e *env) ask(in *os.File, prompt string) (string, error) {
	writeText(e.stderr, prompt)
	line, err := unseen(in)
	fmt.Fprintln(e.stderr)
	switch {
	case err == io.EOF || err == nil && len(line) == 0:
		return "", errors.New("there is no password; nothing was changed")
	case err != nil:
		return "", fmt.Errorf("the password cannot be read: %w", err)
	}
	return string(line), nil
}

// unseen reads a line with the echo off. A signal that ends the program finds the echo
// on again.
func unseen(in *os.File) ([]byte, error) {
	before, err := term.GetState(int(in.Fd()))
	if err != nil {
		return nil, err
	}
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	defer close(done)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	go func() {
		select {
		case s := <-signals:
			_ = term.Restore(int(in.Fd()), before)
			signal.Stop(signals)
			_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
		case <-done:
		}
	}()
	return term.ReadPassword(int(in.Fd()))
}
