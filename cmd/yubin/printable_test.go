package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"yubin/internal/server/admin"
	"yubin/internal/testkit/office"
	"yubin/internal/world/datadir"
)

// shout is what strangers may write into all that they may write.
const shout = "a\u009b2J\u202egnp.exe\u2066\u200b\u2028\ufeffz"

// speaks reports what of s says something to a terminal.
func speaks(s string) bool {
	return !utf8.ValidString(s) || strings.IndexFunc(s, func(r rune) bool {
		return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r))
	}) >= 0
}

// unwalked are commands that do not end by themselves, or need a network.
var unwalked = map[string]bool{"localserve": true, "serve": true, "profile": true, "import imap": true}

// shouted are command lines that must show, escaped, what a stranger wrote.
func shouted(item int64) [][]string {
	return [][]string{
		{"queue", "list"}, {"queue", "show", fmt.Sprint(item)},
		{"trace", "SHOUT"}, {"trace", "shout@s.test"}, {"trace", fmt.Sprint("<", shout, "@s.test>")},
	}
}

// TestCommandsDoNotSpeak: no command, with and without --json, writes what a
// stranger wrote so that it says something to a terminal.
func TestCommandsDoNotSpeak(t *testing.T) {
	folder, err := os.MkdirTemp("", "yubin") // The path of a socket is short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	o := office.Open(folder, time.Now, t.Fatal)
	defer o.Close()
	o.MessageID = "<" + shout + "@s.test>"
	item := o.Accept("shout@s.test", "x@shout.test", "bob@here.test") // Whose host shouts.
	o.Accept("shout@s.test", "bob@here.test")
	o.Shout("shout@s.test", shout)
	o.Run()
	o.AwaitAttempts(1)
	listener, err := admin.Listen(folder)
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: o.Admin(), ReadHeaderTimeout: patience}
	done := make(chan error, 1)
	go func() { done <- web.Serve(listener) }()
	defer func() {
		_ = web.Close()
		<-done
	}()

	run := func(args []string) string {
		t.Helper()
		var out bytes.Buffer
		console, err := os.Create(filepath.Join(t.TempDir(), "console"))
		if err != nil {
			t.Fatal(err)
		}
		defer console.Close()
		e := &env{ctx: context.Background(), stdin: strings.NewReader(""), out: &out, console: console,
			getenv: func(string) string { return "" }, version: "test"}
		e.run(args)
		told, err := os.ReadFile(console.Name())
		if err != nil {
			t.Fatal(err)
		}
		all := out.String() + string(told)
		if speaks(all) {
			t.Errorf("%q speaks: %q", args, all)
		}
		return all
	}
	// The journal writes each second.
	for began := time.Now(); strings.Contains(run([]string{"trace", "SHOUT", "--data", folder}), "nothing found"); {
		if time.Since(began) > patience {
			t.Fatal("the journal never had it")
		}
	}
	for _, args := range shouted(int64(item)) {
		for _, json := range []bool{false, true} {
			line := append(append([]string{}, args...), "--data", folder)
			if json {
				line = append(line, "--json")
			}
			if all := run(line); !strings.Contains(all, `\u009b`) {
				t.Errorf("%q shows nothing of it:\n%s", line, all)
			}
		}
	}

	var line commandLine
	parser, err := kong.New(&line)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "data") // Of no server: the commands open it.
	made, err := datadir.Make(t.Context(), empty, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := made.Close(); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // Some make files with the names that they are given.
	walked := 0
	for _, leaf := range parser.Model.Leaves(false) {
		if name := strings.TrimPrefix(leaf.Path(), "yubin "); unwalked[commandName(leaf)] {
			t.Log("not walked:", name)
			continue
		}
		walked++
		args := strings.Fields(commandName(leaf))
		for range leaf.Positional {
			args = append(args, shout)
		}
		for _, f := range leaf.Flags {
			if f.Name == "data" {
				args = append(args, "--data", empty)
			}
		}
		run(args)
		run(append(args, "--json"))
		run(append(args, "--unknown-"+shout))
	}
	if walked < 40 {
		t.Errorf("%d commands were walked", walked)
	}
}

// commandName is the words of a command.
func commandName(n *kong.Node) string {
	name := n.Name
	for p := n.Parent; p != nil && p.Type == kong.CommandNode; p = p.Parent {
		name = p.Name + " " + name
	}
	return name
}
