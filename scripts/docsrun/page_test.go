//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePage(t *testing.T) {
	page := strings.Join([]string{
		"# A page", "", "Text", "    that goes on.", "",
		"    yubin domain add example.org", "    yubin domain list [--json | --data DIR]", "",
		"    DOMAIN       ACCOUNTS", "    example.org  0", "",
		"<!-- not run: it needs a moon -->", "", "    sudo reboot", "",
		"1. In a list:", "", "   <!-- setup: true", "   false -->", "", "       $ yubin reports sent", "       DAY  DOMAIN", "",
		"    [admin]", "    address = \"127.0.0.1:1\"", "",
		"    while read -r a; do", "        echo \"$a\"", "    done < file", "    curl -k \\", "        http://x",
	}, "\n")
	found, err := parsePage(page)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range found {
		switch {
		case p.commands:
			for _, c := range p.split() {
				for _, v := range variants(c.text) {
					got = append(got, strings.ReplaceAll(v, "\n", "⏎"))
				}
				if len(c.shown) > 0 {
					got = append(got, "shows "+strings.Join(c.shown, "⏎"))
				}
			}
		case p.toml():
			got = append(got, "toml")
		default:
			got = append(got, "text")
		}
		for _, m := range p.marks {
			got = append(got, "mark "+m.word+": "+strings.ReplaceAll(m.rest, "\n", "⏎"))
		}
	}
	want := []string{
		"yubin domain add example.org", "yubin domain list", "yubin domain list --json", "yubin domain list --data DIR",
		"text",
		"sudo reboot", "mark not run: it needs a moon",
		"yubin reports sent", "shows DAY  DOMAIN", "mark setup: true⏎   false",
		"toml",
		"while read -r a; do⏎    echo \"$a\"⏎done < file", "curl -k \\⏎    http://x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if found[2].line != 14 {
		t.Errorf("sudo reboot is in line %d, not 14", found[2].line)
	}
}

func TestFaultyPages(t *testing.T) {
	for page, want := range map[string]string{
		"<!-- not run: -->\n\n    yubin x\n":   "1: not run, and nobody says why",
		"<!-- nut run: y -->\n\n    yubin x\n": `1: there is no mark "nut run"`,
		"<!-- output -->\n\nText\n":            `1: no block follows the mark "output"`,
		"<!-- output\n":                        "1: the comment has no end",
		"x\n\n```\nyubin x\n```\n":             "3: a block is indented",
		"\n    touch x\n":                      "2: touch is a program here",
		"\n    $ touch x\n":                    "2: touch is not among the programs",
	} {
		if _, err := parsePage(page); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v; want %s", page, err, want)
		}
	}
}

func TestAlike(t *testing.T) {
	shown := []string{"ID   STATE    AGE    NEXT      WHY", "7.1  waiting  2 min  in 3 min  450 4.2.1 …"}
	for text, want := range map[string]bool{
		"ID    STATE    AGE   NEXT     WHY\n12.1  waiting  0 s   in 59 s  450 4.2.1 later\n": true,
		"ID    STATE    AGE   NEXT\n12.1  waiting  0 s   in 59 s  450 4.2.1 later\n":         false,
		"ID    STATE    AGE   NEXT     WHY\n12.1  parked   0 s   in 59 s  450 4.2.1 later\n": false,
		"": false,
	} {
		if got := alike(shown, strings.Split(text, "\n")); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestFill(t *testing.T) {
	got, err := fill("yubin restore DIR --snapshot ID --into DIRECTORY", []string{"DIR=/backup ID=$(newest)"})
	if want := "yubin restore /backup --snapshot $(newest) --into DIRECTORY"; err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if _, err := fill("x", []string{"y"}); err == nil {
		t.Error("a word without a value is taken")
	}
}

// TestUnit: the unit of the repository has no directive of which docs-run knows nothing, and
// what it says is understood.
func TestUnit(t *testing.T) {
	u, err := shipped("../..")
	if err != nil {
		t.Fatal(err)
	}
	if u.last("User") != "yubin" || !u.yes("PrivateTmp") || u.mode("UMask", 0) != 0o077 || u.last("ProtectSystem") != "strict" {
		t.Errorf("read: %v", u.values)
	}
	if len(u.omitted()[seccomp]) == 0 {
		t.Error("nothing is left out; that is not so")
	}
}
