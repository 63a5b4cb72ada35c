//go:build linux

package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"yubin/internal/testkit/dnstest"
	"yubin/internal/testkit/ldappeer"
	"yubin/internal/testkit/smtppeer"
)

// names answers what a zone file says, at 127.0.0.1:53. SIGHUP has it read again.
func names(args []string) error {
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	for {
		text, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		zone, err := dnstest.ParseZone(string(text))
		if err != nil {
			return err
		}
		s, err := dnstest.ListenAt(zone, "127.0.0.1:53")
		if err != nil {
			return err
		}
		// tsig-keygen would have made it otherwise: see pages/dns.sh.
		s.TakeUpdates("example.org", "yubin", "hmac-sha256", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
		<-again
		if err := s.Close(); err != nil {
			return err
		}
	}
}

// peer is a mail server at an address that follows a script of testkit/smtppeer with everybody
// who comes.
func peer(args []string) error {
	script, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := smtppeer.New(c, nil).Play(string(script)); err != nil {
				fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
			}
		}()
	}
}

// people is an LDAP directory with the entries of a file, of testkit/ldappeer: by STARTTLS on
// port 389, by TLS on 636, with the certificate in a folder.
func people(args []string) error {
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	entries, err := ldappeer.Parse(string(text))
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(args[1]+"/fullchain.pem", args[1]+"/privkey.pem")
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, implicit := range []bool{false, true} {
		peer := ldappeer.New(entries...)
		peer.TLS, peer.Implicit, peer.Closed = &tls.Config{Certificates: []tls.Certificate{pair}}, implicit, true
		l, err := net.Listen("tcp", map[bool]string{false: "127.0.0.1:389", true: "127.0.0.1:636"}[implicit])
		if err != nil {
			return err
		}
		all.Go(func() { peer.Serve(l) })
	}
	all.Wait()
	return nil
}
