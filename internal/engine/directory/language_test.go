package directory

import (
	"testing"

	"yubin/internal/mail"
)

func TestLanguage(t *testing.T) {
	h := open(t, nil)
	a, err := h.AddAccount(t.Context(), NewAccount{Address: addr("hanako"), Password: "password-1", Language: "ja"})
	if err != nil {
		t.Fatal(err)
	}
	if tag, err := h.Language(t.Context(), a.ID); tag != "ja" || err != nil {
		t.Errorf("got %q, %v", tag, err)
	}
	if err := h.SetLanguage(t.Context(), addr("hanako"), "pt-BR"); err != nil {
		t.Fatal(err)
	}
	if tag, err := h.Language(t.Context(), a.ID); tag != "pt-BR" || err != nil {
		t.Errorf("after a change: got %q, %v", tag, err)
	}
	if err := h.SetLanguage(t.Context(), addr("hanako"), "no tag"); mail.KindOf(err) != mail.Invalid {
		t.Errorf("no tag: %v", err)
	}
	if err := h.SetLanguage(t.Context(), addr("nobody"), "en"); mail.KindOf(err) != mail.NotFound {
		t.Errorf("nobody: %v", err)
	}
	if _, err := h.Language(t.Context(), a.ID+99); mail.KindOf(err) != mail.NotFound {
		t.Errorf("no account: %v", err)
	}
}
