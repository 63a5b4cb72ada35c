package obs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"yubin/internal/mail"
)

// TestReason: the log has the causes that an error keeps from others, each once.
func TestReason(t *testing.T) {
	deep := errors.New(`no such table (42P01) in "SELECT 1"`)
	hides := &mail.Error{Kind: mail.Internal, Text: "database failure", Err: deep}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{hides, "database failure: " + deep.Error()},
		{fmt.Errorf("opening: %w", hides), "opening: database failure: " + deep.Error()},
		{mail.Errorf(mail.Internal, "opening: %w", hides), "opening: database failure: " + deep.Error()},
		{&mail.Error{Text: "outer", Err: hides}, "outer: database failure: " + deep.Error()},
		{errors.Join(hides, errors.New("other")), "database failure: " + deep.Error() + "\nother"},
		{fmt.Errorf("said: %w", deep), "said: " + deep.Error()},
	} {
		if got := Reason(tc.err); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
	var line bytes.Buffer
	NewLogger(&line, LogOptions{Format: FormatText}).Warn("it failed", Err(hides))
	if !strings.Contains(line.String(), "42P01") {
		t.Errorf("logged %s", line.String())
	}
}
