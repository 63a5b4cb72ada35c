package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yubin/internal/world/config"
	"yubin/internal/world/datadir"
)

// TestWhichServer: flags count before the environment, what is installed before
// what localserve made here; and what nobody named is told.
func TestWhichServer(t *testing.T) {
	const installed = "hostname = \"mail.example.org\"\ndata = \"/srv/installed\"\n[tls]\nself_signed = true\n"
	const named = "hostname = \"mail.example.org\"\ndata = \"/srv/named\"\n[tls]\nself_signed = true\n"
	for name, tt := range map[string]struct {
		p           place
		env         map[string]string
		system, toy bool
		want, says  string // the folder; what is told wherever the output goes
	}{
		"flag before the environment":    {p: place{Data: "/srv/flag"}, env: map[string]string{"YUBIN_CONFIG": "named.toml"}, want: "/srv/flag"},
		"config flag before it":          {p: place{Config: "named.toml"}, env: map[string]string{"YUBIN_DATA": "/srv/env"}, want: "/srv/named"},
		"environment before a guess":     {env: map[string]string{"YUBIN_DATA": "/srv/env"}, system: true, toy: true, want: "/srv/env"},
		"YUBIN_CONFIG":                   {env: map[string]string{"YUBIN_CONFIG": "named.toml"}, toy: true, want: "/srv/named"},
		"installed":                      {system: true, want: "/srv/installed"},
		"installed before the toy, told": {system: true, toy: true, want: "/srv/installed", says: "system.toml; --data local-data is for that of localserve here"},
		"the toy":                        {toy: true, want: config.LocalData},
		"nothing":                        {want: config.Default().Data},
	} {
		t.Run(name, func(t *testing.T) {
			here := t.TempDir()
			t.Chdir(here)
			files := map[string]string{"named.toml": named}
			if tt.system {
				files["system.toml"] = installed
			}
			for name, text := range files {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tt.toy {
				d, err := datadir.Make(t.Context(), config.LocalData, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
			}
			var said bytes.Buffer
			console, err := os.Create(filepath.Join(here, "console"))
			if err != nil {
				t.Fatal(err)
			}
			defer console.Close()
			e := &env{ctx: context.Background(), console: console, stderr: &said, system: "system.toml", getenv: func(k string) string { return tt.env[k] }}
			got, _, err := e.folder(tt.p)
			if err != nil || got != tt.want && got != filepath.Join(here, tt.want) {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
			if tt.says == "" && said.Len() > 0 || !strings.Contains(said.String(), tt.says) {
				t.Errorf("said %q, want %q", said.String(), tt.says)
			}
		})
	}
}
