package main

import (
	"bytes"
	"errors"
	"testing"

	"yubin/internal/engine/transfer"
	"yubin/internal/world/obs"
)

// TestForeignNamesForgeNoLine: a line end in a name that another server gave is
// written as what it is, in every line about it; errors of our own that were joined
// have a line each.
func TestForeignNamesForgeNoLine(t *testing.T) {
	var out, told bytes.Buffer
	e := &env{stdout: obs.Printing(&out), stderr: obs.Printing(&told)}
	const name = "a\nyubin: all is well"
	e.tellTransfer(name, "taken", transfer.Report{
		Failures: []transfer.Failure{{Folder: name, Message: name, Reason: name}}, Failed: 2, Notes: []string{name},
	}, errors.New(name), false)
	e.tellTransfer(name, "taken", transfer.Report{}, nil, false)
	_ = e.did(nil, "%s", name)
	if n := bytes.Count(told.Bytes(), []byte("\n")); n != 4 || !bytes.Contains(told.Bytes(), []byte(`a\u000ayubin: all is well`)) {
		t.Errorf("%d lines: %q", n, told.String())
	}
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 2 {
		t.Errorf("%d lines: %q", n, out.String())
	}
	told.Reset()
	if code := e.report(errors.Join(errors.New(name), errors.New("b"))); code != exitFailure || told.String() != "yubin: a\\u000ayubin: all is well\nyubin: b\n" {
		t.Errorf("exit code %d, %q", code, told.String())
	}
}
