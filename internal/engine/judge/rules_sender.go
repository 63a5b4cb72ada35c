package judge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"yubin/internal/engine/dnslist"
	"yubin/internal/engine/lookalike"
	"yubin/internal/mail"
	"yubin/internal/mailauth/dkim"
	"yubin/internal/message"
)

func fromMissing(f *Facts) string {
	if f.From == FromMissing {
		return "it has no From field"
	}
	return ""
}

func fromTwice(f *Facts) string {
	if f.From == FromTwice {
		return "it has several From fields"
	}
	return ""
}

func fromBroken(f *Facts) string {
	if f.From == FromBroken {
		return "its From field is no list of addresses that every reader reads alike"
	}
	return ""
}

// nameShowsAddress: a name like "service@bank.example" before an address elsewhere. One of a
// mailing list that shows whom it writes for is known by its List-Id.
func nameShowsAddress(f *Facts) string {
	if f.Message == nil || f.Content.Header.Count("list-id") > 0 {
		return ""
	}
	for _, a := range f.Message.Envelope.From {
		shown := lookalike.Claimed(message.DecodeText(a.Name))
		if shown == "" || f.Author.IsZero() || dnslist.Registrable(shown) == dnslist.Registrable(f.Author.Domain) {
			continue
		}
		return fmt.Sprintf("the sender is called by an address of %s, and writes from %s", printable(string(shown)), printable(string(f.Author.Domain)))
	}
	return ""
}

// replyElsewhere: lists have answers go to them, and that is what a List-Id tells.
func replyElsewhere(f *Facts) string {
	if f.Message == nil || f.Author.IsZero() || f.Content.Header.Count("list-id")+f.Content.Header.Count("list-post") > 0 {
		return ""
	}
	for _, a := range f.Message.Envelope.ReplyTo {
		if d := registrable(string(a.Host)); a.Host != nil && d != "" && d != dnslist.Registrable(f.Author.Domain) {
			return fmt.Sprintf("answers to %s go to %s", printable(string(f.Author.Domain)), printable(string(a.Host)))
		}
	}
	return ""
}

// domainLikeOurs compares with the domains of the recipients, which are ours.
func domainLikeOurs(f *Facts) string {
	if f.Author.IsZero() || f.Ours {
		return ""
	}
	var ours []mail.Domain
	for _, r := range f.Recipients {
		if !slices.Contains(ours, r.Domain) {
			ours = append(ours, r.Domain)
		}
	}
	if like := lookalike.Resembles(f.Author.Domain, ours); like != "" {
		return fmt.Sprintf("%s looks like %s and is another domain", printable(string(f.Author.Domain)), like)
	}
	return ""
}

func domainDeceptive(f *Facts) string { return lookalike.Domain(f.Author.Domain) }

func backscatter(f *Facts) string {
	if f.Returned == ReturnedForeign {
		return "it is a report about a message that this server never sent"
	}
	return ""
}

func reverseMissing(f *Facts) string {
	if f.Reverse == ReverseMissing {
		return fmt.Sprintf("the address %s has no name in the DNS", f.Client.Remote)
	}
	return ""
}

func reverseFails(f *Facts) string {
	if f.Reverse == ReverseFail {
		return fmt.Sprintf("the address %s is called %s, and that name does not lead back to it", f.Client.Remote, printable(string(f.ReverseName)))
	}
	return ""
}

// The names that a client gives itself are judged only where its address is known: on
// a local socket they are those of a program.

func heloOurs(f *Facts) string {
	if f.Client.Remote.IsValid() && f.Hostname != "" && strings.EqualFold(f.Client.Hello, string(f.Hostname)) {
		return "the client says that it is " + string(f.Hostname) + ", which is this server"
	}
	return ""
}

// heloAddress: a literal (RFC 5321 §4.1.3) is allowed to who has no name, if it is
// its own. An address behind a translator does not know its own, so private ones are passed
// over.
func heloAddress(f *Facts) string {
	hello := f.Client.Hello
	if !f.Client.Remote.IsValid() || hello == "" {
		return ""
	}
	text := strings.TrimSuffix(strings.TrimPrefix(hello, "["), "]")
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return ""
	case text == hello:
		return fmt.Sprintf("the client calls itself %s, which is an address and no name", printable(hello))
	case addr.Unmap() != f.Client.Remote.Unmap() && !addr.IsPrivate() && !addr.IsLoopback():
		return fmt.Sprintf("the client calls itself %s and comes from %s", printable(hello), f.Client.Remote)
	}
	return ""
}

func heloShort(f *Facts) string {
	hello := strings.TrimSuffix(f.Client.Hello, ".")
	if !f.Client.Remote.IsValid() || strings.HasPrefix(hello, "[") || heloAddress(f) != "" {
		return ""
	}
	if d, err := mail.ParseDomain(hello); err == nil && strings.Contains(string(d), ".") {
		return ""
	}
	return fmt.Sprintf("the client calls itself %q, which is no full name of a host", printable(f.Client.Hello))
}

// unsubscribeSigned: only a signature that covers both fields counts (RFC 8058 §4).
func unsubscribeSigned(f *Facts) string {
	h := &f.Content.Header
	if f.Authenticated == "" || !strings.EqualFold(strings.TrimSpace(string(h.Get("list-unsubscribe-post"))), "List-Unsubscribe=One-Click") {
		return ""
	}
	if signedOver(f, "list-unsubscribe", "list-unsubscribe-post") {
		return fmt.Sprintf("%s offers to stop such mail with one click", printable(string(f.Authenticated)))
	}
	return ""
}

// signedOver reports whether a good signature of the author's domain covers all those
// fields.
func signedOver(f *Facts, names ...string) bool {
	for _, v := range f.DKIM {
		if v.Signature == nil || v.Result != dkim.Pass || !strings.EqualFold(string(dnslist.Registrable(v.Signature.Domain)), string(dnslist.Registrable(f.Authenticated))) {
			continue
		}
		if !slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(v.Signature.Names, n) }) {
			return true
		}
	}
	return false
}
