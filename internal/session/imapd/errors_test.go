package imapd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/proto/imap"
)

// Every kind of failure has its response code, and nothing internal reaches a client.
func TestKinds(t *testing.T) {
	want := map[mail.Kind]imap.Code{
		mail.Internal: imap.CodeServerBug, mail.Invalid: imap.CodeCannot, mail.NotFound: imap.CodeNonExistent,
		mail.Exists: imap.CodeAlreadyExists, mail.Conflict: imap.CodeHasChildren, mail.Forbidden: imap.CodeNoPerm,
		mail.OverQuota: imap.CodeOverQuota, mail.TooLarge: imap.CodeLimit, mail.RateLimited: imap.CodeLimit,
		mail.Unavailable: imap.CodeUnavailable,
	}
	for kind := mail.Internal; kind <= mail.Unavailable; kind++ {
		cause := errors.New("secret/path")
		st := statusOf(t.Context(), fmt.Errorf("wrapped: %w", &mail.Error{Kind: kind, Text: "told", Err: cause}))
		if st.cond != imap.NO || st.code != want[kind] {
			t.Errorf("%v: %v [%v]", kind, st.cond, st.code)
		}
		if strings.Contains(st.text, "secret") || strings.Contains(st.text, "wrapped") || st.text == "" {
			t.Errorf("%v says %q", kind, st.text)
		}
		if ours := kind == mail.Internal || kind == mail.OverQuota; (st.text == "told") == ours {
			t.Errorf("%v says %q", kind, st.text)
		}
	}
	if st := statusOf(t.Context(), errors.New("secret/path")); st.code != imap.CodeServerBug || strings.Contains(st.text, "secret") {
		t.Errorf("an error of no kind: [%v] %q", st.code, st.text)
	}
	if st := statusOf(t.Context(), context.Canceled); st.code != imap.CodeUnavailable {
		t.Errorf("a cancelled command: [%v]", st.code)
	}
	shut, end := context.WithCancelCause(t.Context())
	end(mail.Errorf(mail.Forbidden, "the account is disabled"))
	if st := statusOf(shut, shut.Err()); st.code != imap.CodeUnavailable || st.text != "the account is disabled" {
		t.Errorf("a command cancelled for a reason: [%v] %q", st.code, st.text)
	}
	if st := statusAs(t.Context(), mail.Errorf(mail.NotFound, "gone"), mail.NotFound, imap.CodeTryCreate); st.code != imap.CodeTryCreate || st.text != "gone" {
		t.Errorf("NotFound as TRYCREATE: [%v] %q", st.code, st.text)
	}
}
