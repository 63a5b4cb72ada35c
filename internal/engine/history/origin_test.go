package history_test

import (
	"testing"

	"yubin/internal/engine/history"
	"yubin/internal/engine/store"
	"yubin/internal/message"
)

func TestOf(t *testing.T) {
	const received = "Received: from mail.example.org ([192.0.2.7])\r\n\tby mx.example.net with ESMTPS (TLS1.3) id X;\r\n\tTue, 1 Dec 2026 01:00:00 +0000\r\n"
	for _, one := range []struct{ prefix, from, want string }{
		{"", "Bob <bob@example.org>", "bob@example.org  invalid IP"},
		{received, "bob@Example.ORG", "bob@example.org  192.0.2.7"},
		{received + "Received: from other ([192.0.2.8]) by x; Tue\r\n", "bob@example.org", "bob@example.org  192.0.2.7"},
		{"Received: from [::1] ([IPv6:2001:db8::1])\r\n\tby mx; now\r\n", "bob@example.org", "bob@example.org  2001:db8::1"},
		{"Received: from localhost by mx with LMTP id (x y); now\r\n", "bob@example.org", "bob@example.org  invalid IP"},
		{"Authentication-Results: mx.example.net; dmarc=pass header.from=example.org\r\n", "bob@example.org", "bob@example.org example.org invalid IP"},
		{"Authentication-Results: mx.example.net; dmarc=pass header.from=example.com\r\n", "bob@example.org", "bob@example.org  invalid IP"},
		{"Authentication-Results: mx.example.net;\r\n\tspf=pass smtp.mailfrom=b@example.org;\r\n\tdmarc=none header.from=mail.example.org\r\n", "bob@mail.example.org", "bob@mail.example.org mail.example.org invalid IP"},
		{"Authentication-Results: mx; dkim=pass header.d=xample.org; spf=fail smtp.mailfrom=example.org\r\n", "bob@example.org", "bob@example.org  invalid IP"},
		{"Authentication-Results: mx; dkim=pass header.d=example.org header.s=a\r\n", "friends: eve@example.org, x@example.net;", "eve@example.org example.org invalid IP"},
		{"Authentication-Results: mx; none\r\n", "undisclosed:;", "  invalid IP"},
		{"Authentication-Results: broken=;\r\n", "nobody", "  invalid IP"},
	} {
		form, err := message.ParseForm(message.AppendForm(nil, message.Parse([]byte("From: "+one.from+"\r\n\r\nbody\r\n"))))
		if err != nil {
			t.Fatal(err)
		}
		c := history.Of(store.Origin{Form: form, Prefix: []byte(one.prefix)})
		if got := c.Address.String() + " " + string(c.Authenticated) + " " + c.Network.String(); got != one.want {
			t.Errorf("%q of %q is %q, want %q", one.prefix, one.from, got, one.want)
		}
	}
}
