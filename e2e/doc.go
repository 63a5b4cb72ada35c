// Package e2e tests the built binary from outside: real mail programs send and
// read through it, and it is killed at random under load.
//
// They need programs from Debian; `make test` sees to it that these are there.
package e2e
