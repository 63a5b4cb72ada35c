package main

import (
	"path/filepath"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// lender makes places of the paths that a command line names. What is there is opened by
// this process, as the user who calls it, whoever works with it: see package lending.
type lender struct{ data string }

// lender is one for commands to the server at p.
func (e *env) lender(p place) (lender, error) {
	data, _, err := e.folder(p)
	return lender{data}, err
}

// from is what is at paths, to be read by or for the server at p.
func (p place) from(e *env, paths ...string) ([]*files.Place, error) {
	l, err := e.lender(p)
	if err != nil {
		return nil, err
	}
	return l.from(paths...)
}

// into is a folder, to be written by or for the server at p.
func (p place) into(e *env, path string) (*files.Place, error) {
	l, err := e.lender(p)
	if err != nil {
		return nil, err
	}
	return l.into(path)
}

// from is what is at paths, to be read.
func (l lender) from(paths ...string) (list []*files.Place, err error) {
	for _, path := range paths {
		if path, err = l.apart(path); err != nil {
			return nil, err
		}
		list = append(list, files.From(path))
	}
	return list, nil
}

// into is a folder to be written.
func (l lender) into(path string) (*files.Place, error) {
	path, err := l.apart(path)
	return files.Into(path), err
}

// apart makes a path absolute. One in the data folder, above it, or equal to it is
// refused: what is there is the server's own.
func (l lender) apart(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err == nil && files.Overlap(path, l.data) {
		err = mail.Errorf(mail.Invalid, "%s and the data folder %s must not be in each other; choose another path", path, l.data)
	}
	return path, err
}
