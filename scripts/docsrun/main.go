//go:build linux

// Command docsrun runs the commands that the pages of docs/ and README.md show, so that
// what they say stays true. scripts/docs-run builds it and runs it as root.
//
//	docsrun HOUSE YUBIN [PAGE…]
//
// Each page gets a machine of its own: the programs of this one, other files, no network
// but itself, in namespaces. yubin runs there under the directives of deploy/yubin.service,
// which a stand-in of systemd reads and applies, but for those that need seccomp; the
// commands of the page run beside it as an administrator. Around is what the pages
// speak of: a name server, a post office elsewhere, an authority for certificates (pages/lib.sh).
// pages/PAGE.sh prepares the machine for a page, or says with its function machine what
// it has instead.
//
// A paragraph of an indented block that begins with a program is commands; they run from
// top to bottom, each must end with 0. What stands in [brackets] is tried without and with. A
// paragraph that begins like yubin.toml must be one that check-config takes. All else
// is text. Comments in the line before a block say more:
//
//	<!-- not run: WHY -->        the next paragraph is not run; all of them are counted and told
//	<!-- setup: COMMANDS -->     run these first, with the functions of pages/*.sh
//	<!-- then: COMMANDS -->      run these afterwards; they must end with 0, too
//	<!-- with: NAME=VALUE … -->  put words in the place of those that a reader chooses
//	<!-- as: USER -->            run it as this user
//	<!-- types: WORDS -->        run it on a terminal, where somebody types this line, twice
//	<!-- exit: N -->             that is how it ends
//	<!-- stays: WORDS -->        it goes on running, and prints these when it is ready
//	<!-- output -->              the paragraph is what the command before it prints, but for numbers and times;
//	                             … stands for anything. With "output: head" the first line alone is compared
//	<!-- example -->             what is shown after "$ COMMAND" is an example, and not compared
//	<!-- file: PATH -->          the paragraph is a file; append adds it to one
//	<!-- text -->                it begins with the name of a program and is none
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// limit bounds the whole run.
const limit = 15 * time.Minute

func main() {
	if err := dispatch(filepath.Base(os.Args[0]), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// dispatch is what this program is called as: itself, a stand-in, or a part of a machine.
func dispatch(name string, args []string) error {
	roles := map[string]func([]string) error{"systemctl": systemctl, "journalctl": journalctl, "names": names, "peer": peer, "ldapd": people}
	if len(args) > 0 {
		switch args[0] {
		case "machine":
			return first(args[1], args[2], args[3])
		case "supervise":
			return supervise(args[1])
		case "sandbox":
			return sandbox(args[1], args[2:])
		}
	}
	if role, ok := roles[name]; ok {
		return role(args)
	}
	if len(args) < 2 {
		return errors.New("usage: docsrun HOUSE YUBIN [PAGE…]")
	}
	return run(args[0], args[1], args[2:])
}

func run(house, yubin string, pages []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	scratch, err := os.MkdirTemp("", "yubin-docs-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if len(pages) == 0 {
		found, err := filepath.Glob(filepath.Join(house, "docs/*.md"))
		if err != nil {
			return err
		}
		for _, f := range append(found, filepath.Join(house, "README.md")) {
			name, _ := filepath.Rel(house, f)
			pages = append(pages, name)
		}
	}
	began := time.Now()
	results := make([]*result, len(pages))
	turns := make(chan bool, 3*runtime.NumCPU()) // Much of it is waiting.
	var all sync.WaitGroup
	for i, page := range pages {
		results[i] = &result{page: page}
		all.Go(func() {
			turns <- true
			defer func() { <-turns }()
			results[i].try(ctx, scratch, house, yubin)
			results[i].tell()
		})
	}
	all.Wait()
	return total(results, house, time.Since(began))
}

// total tells what was run, what was not, and why.
func total(results []*result, house string, took time.Duration) error {
	ran, failed := 0, 0
	var notRun []string
	for _, r := range results {
		ran, failed = ran+r.ran, failed+len(r.failures)
		notRun = append(notRun, r.notRun...)
	}
	if len(notRun) > 0 {
		fmt.Printf("not run (%d):\n  %s\n", len(notRun), strings.Join(notRun, "\n  "))
	}
	if u, err := shipped(house); err == nil {
		for why, keys := range u.omitted() {
			fmt.Printf("of the unit, left out (%s): %s\n", why, strings.Join(keys, " "))
		}
	}
	fmt.Printf("docs: %d pages, %d commands run, %d not run, %d failed, in %.0f s\n", len(results), ran, len(notRun), failed, took.Seconds())
	if failed > 0 {
		return errors.New("docs-run: pages say what is not so")
	}
	return nil
}

// shipped is the unit that the repository ships.
func shipped(house string) (*unit, error) {
	u := &unit{name: "yubin", values: map[string][]string{}}
	return u, u.read(filepath.Join(house, "deploy/yubin.service"))
}

// A result is what became of a page.
type result struct {
	page     string
	ran      int
	notRun   []string
	failures []string
	took     time.Duration
}

func (r *result) tell() {
	fmt.Printf("%-40s %3d run, %d not, %.1f s\n", r.page, r.ran, len(r.notRun), r.took.Seconds())
	for _, f := range r.failures {
		fmt.Println(f)
	}
}

func (r *result) fail(line int, format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf("%s:%d: ", r.page, line)+fmt.Sprintf(format, args...))
}

// leftOutCode is with what a machine ends that cannot be without a program that is not here.
const leftOutCode = 77

// try runs a page.
func (r *result) try(ctx context.Context, scratch, house, yubin string) {
	began := time.Now()
	defer func() { r.took = time.Since(began) }()
	paragraphs, err := readPage(filepath.Join(house, r.page))
	if err != nil {
		r.failures = append(r.failures, fmt.Sprintf("%s: %v", r.page, err))
		return
	}
	if !slices.ContainsFunc(paragraphs, func(p *paragraph) bool { return p.commands || p.toml() }) {
		return
	}
	name := strings.TrimSuffix(filepath.Base(r.page), ".md")
	m, err := boot(filepath.Join(scratch, name), house, yubin)
	if err != nil {
		r.fail(1, "%v", err)
		return
	}
	defer m.end()
	t := &tour{result: r, m: m, name: name}
	out, err := t.fixture(ctx, "machine")
	if exitCode(err) == leftOutCode {
		r.notRun = append(r.notRun, fmt.Sprintf("%s: all of it (%s)", r.page, strings.TrimSpace(out)))
		return
	}
	if err != nil {
		r.fail(1, "the machine for this page: %v: %s", err, ending(out))
		return
	}
	for _, p := range paragraphs {
		if ctx.Err() != nil {
			r.fail(p.line, "no time was left for it")
			return
		}
		t.paragraph(ctx, p)
	}
}

// A tour is the way through a page, on its machine.
type tour struct {
	*result
	m    *machine
	name string
	said string // by the last command
}

// fixture runs commands with the functions of pages/lib.sh and of the page.
func (t *tour) fixture(ctx context.Context, text string) (string, error) {
	return t.m.run(ctx, fmt.Sprintf(". /standins/pages/lib.sh; [ ! -e /standins/pages/%[1]s.sh ] || . /standins/pages/%[1]s.sh; set -eE; trap 'echo \"failed: $BASH_COMMAND\"' ERR\n%[2]s", t.name, text))
}

func (t *tour) paragraph(ctx context.Context, p *paragraph) {
	if why, ok := p.mark("not run"); ok {
		for _, c := range p.split() {
			t.notRun = append(t.notRun, fmt.Sprintf("%s:%d: %s (%s)", t.page, c.line, brief(c.text), why))
		}
		return
	}
	for _, text := range p.all("setup") {
		if out, err := t.fixture(ctx, text); err != nil {
			t.fail(p.line, "setup: %s: %v: %s", brief(text), err, ending(out))
		}
	}
	text := strings.Join(p.lines, "\n") + "\n"
	path, isFile := p.mark("file")
	more, isMore := p.mark("append")
	_, isOutput := p.mark("output")
	switch {
	case isFile:
		t.write(p, path, text, os.O_TRUNC)
	case isMore:
		t.write(p, more, text, os.O_APPEND)
	case isOutput:
		if how, _ := p.mark("output"); how == "head" {
			said := strings.SplitN(t.said, "\n", 2)
			t.said, p.lines = said[0], p.lines[:1]
		}
		t.compare(p.line, p.lines)
	case p.commands:
		for _, c := range p.split() {
			t.command(ctx, p, c)
		}
	case p.toml():
		t.config(ctx, p, text)
	}
	for _, text := range p.all("then") {
		if out, err := t.fixture(ctx, text); err != nil {
			t.fail(p.line, "then: %s: %v: %s", brief(text), err, ending(out))
		}
	}
}

func (t *tour) write(p *paragraph, path, text string, how int) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/root%s", t.m.cmd.Process.Pid, path), os.O_CREATE|os.O_WRONLY|how, 0o644)
	if err != nil {
		t.fail(p.line, "%v", err)
		return
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.fail(p.line, "%v", err)
	}
}

// config tries a piece of yubin.toml, with what a configuration must have.
func (t *tour) config(ctx context.Context, p *paragraph, text string) {
	if !strings.Contains(text, "hostname =") {
		text = "hostname = \"mail.example.org\"\n" + text
	}
	if !strings.Contains(text, "[[certificate]]") {
		text += "\n[tls]\nself_signed = true\n"
	}
	t.write(p, "/run/piece.toml", text, os.O_TRUNC)
	t.ran++
	if out, err := t.m.run(ctx, "yubin check-config --config /run/piece.toml"); err != nil {
		t.fail(p.line, "this piece of yubin.toml is none: %s", ending(out))
	}
}

func (t *tour) command(ctx context.Context, p *paragraph, c command) {
	wanted := 0
	if text, ok := p.mark("exit"); ok {
		if _, err := fmt.Sscan(text, &wanted); err != nil {
			t.fail(p.line, "exit: %v", err)
		}
	}
	for _, text := range variants(c.text) {
		text, err := fill(text, p.all("with"))
		if err != nil {
			t.fail(c.line, "%v", err)
			return
		}
		run := text
		if user, ok := p.mark("as"); ok {
			run = fmt.Sprintf("cd ~%s && sudo -u %[1]s bash -c %s", user, quote(text))
		}
		if words, ok := p.mark("types"); ok {
			run = fmt.Sprintf("printf '%%s\\n' %[1]s %[1]s | script --quiet --return --command %[2]s /dev/null", quote(words), quote(text))
		}
		if ready, ok := p.mark("stays"); ok {
			run = fmt.Sprintf(". /standins/pages/lib.sh; stays %s %s", quote(ready), quote(text))
		}
		t.ran++
		out, err := t.m.run(ctx, run)
		t.said = out
		if code := exitCode(err); code != wanted {
			t.fail(c.line, "%s: exit %d: %s", brief(text), code, ending(out))
		}
	}
	if _, example := p.mark("example"); len(c.shown) > 0 && !example {
		t.compare(c.line, c.shown)
	}
}

func (t *tour) compare(line int, shown []string) {
	if !alike(shown, strings.Split(t.said, "\n")) {
		t.fail(line, "the page shows\n    %s\nand it prints\n    %s", strings.Join(shown, "\n    "), strings.ReplaceAll(strings.TrimSpace(t.said), "\n", "\n    "))
	}
}

// exitCode is that of a command that ended, or -1.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	return -1
}

// ending is the last of what a command printed.
func ending(out string) string {
	const most = 12
	lines := strings.Split(strings.TrimSpace(out), "\n")
	lines = lines[max(0, len(lines)-most):]
	return strings.Join(lines, "\n    ")
}

// brief is the first line of a command.
func brief(text string) string {
	line, _, more := strings.Cut(strings.TrimSpace(text), "\n")
	if more {
		line += " …"
	}
	return line
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
