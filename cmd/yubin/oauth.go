package main

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"log/slog"
	"strings"

	"yubin/internal/server"
	"yubin/internal/world/config"
)

type oauthCmd struct {
	Check oauthCheckCmd `cmd:"" help:"Ask the provider of [oauth] what it publishes and, with --token-stdin, whose a token is."`
}

// maxTokenLine is how many octets of the standard input are looked at for a token.
const maxTokenLine = 64 << 10

type oauthCheckCmd struct {
	Config     string `help:"The configuration." env:"YUBIN_CONFIG" default:"/etc/yubin/yubin.toml" type:"path" placeholder:"FILE"`
	TokenStdin bool   `help:"Read a token from the first line of the standard input, and say whose it is, or why it is not taken."`
}

// Run asks from here, not by the server: also before one runs.
func (c *oauthCheckCmd) Run(e *env) error {
	cfg, err := config.LoadVerified(c.Config)
	if err != nil {
		return err
	}
	token := ""
	if c.TokenStdin {
		line, err := bufio.NewReader(io.LimitReader(e.stdin, maxTokenLine)).ReadString('\n')
		if err != nil && err != io.EOF {
			return err
		}
		if token = strings.TrimSpace(line); token == "" {
			return usagef("there is no token on the standard input")
		}
	}
	found, err := server.CheckOAuth(e.ctx, cfg.OAuth, e.deps(slog.New(slog.DiscardHandler)), token)
	if err != nil {
		return err
	}
	if err := e.show(found, func(w io.Writer) { oauthSheet(found).write(w) }); err != nil {
		return err
	}
	if found.Token != nil && !found.Token.Taken {
		return errors.New("the token is not taken: " + found.Token.Why)
	}
	return nil
}

// oauthSheet is all that is known of a provider, and of a token.
func oauthSheet(c server.OAuthCheck) (t table) {
	t.add("issuer", c.Issuer)
	t.add("metadata", c.Metadata)
	if c.Introspection != "" {
		t.add("introspection", c.Introspection)
	}
	for _, k := range c.Keys {
		t.add("key", strings.TrimSpace(k.Kind+" "+k.Algorithm+" "+cmp.Or(k.ID, "(without a name)")))
	}
	if c.Token == nil {
		return t
	}
	if !c.Token.Address.IsZero() {
		t.add("token of", c.Token.Address.String())
	}
	for _, row := range [][2]string{
		{"subject", c.Token.Subject},
		{"client", c.Token.Client},
		{"ends", momentOr(c.Token.Until)},
	} {
		if row[1] != "" {
			t.add(row[0], row[1])
		}
	}
	return t
}
