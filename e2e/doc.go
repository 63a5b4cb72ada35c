// Package e2e tests the built binary from outside: real mail programs send and
// read through it, and it is killed at random under load.
//
// TestPeer... let it exchange mail with Debian's Postfix, Exim, OpenSMTPD and
// Dovecot and with itself, through unbound and MX records. Each test has a /24
// of 127.0.0.0/8 to itself, and each of those programs an /etc and a /var of its
// own in a mount namespace: nothing of the machine is read for its
// configuration, and nothing written. They need root.
//
// The tests in faults_*_test.go make the world around it fail, and each ends with
// a line of what was put in and found again, and with `yubin check`. Short here;
// `make test-long` (YUBIN_LONG) runs them for as long as it takes to be sure.
//
// All need programs from Debian; `make test` sees to it that these are there.
package e2e
