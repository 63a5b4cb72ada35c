//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

// programs are those that the pages run: a paragraph of a block that begins with one
// of them is commands.
var programs = []string{
	"yubin", "sudo", "systemctl", "journalctl", "certbot", "curl", "swaks", "make", "ln", "install", "useradd", "adduser", "groupadd", "usermod", "cp", "mkdir",
	"chown", "chmod", "awk", "while", "for", "postmap", "postconf", "postfix", "doveconf", "doveadm", "fail2ban-client",
	"fail2ban-regex", "go", "openssl", "echo", "printf", "cat", "dig", "ufw", "nft", "ss", "rsync", "mailman", "update-ca-certificates", "tar", "df", "stat", "ls", "id", "sh", "cd",
}

// A mark is a comment before a block that says how it is run.
type mark struct {
	line int
	word string
	rest string
}

// words are the marks that there are; the comment of this command says what they mean.
var words = []string{"not run", "setup", "then", "with", "as", "types", "exit", "stays", "output", "example", "text", "file", "append"}

// A paragraph is lines of an indented block with no empty line between.
type paragraph struct {
	line     int // of the page, of the first
	lines    []string
	marks    []mark
	commands bool
	prompt   bool // commands have "$ " before them, other lines are what they say
}

func (p *paragraph) mark(word string) (string, bool) {
	for _, m := range p.marks {
		if m.word == word {
			return m.rest, true
		}
	}
	return "", false
}

func (p *paragraph) isOutput() bool {
	_, ok := p.mark("output")
	return ok
}

// all returns what every mark of that word says.
func (p *paragraph) all(word string) []string {
	var rests []string
	for _, m := range p.marks {
		if m.word == word {
			rests = append(rests, m.rest)
		}
	}
	return rests
}

// parsePage finds the blocks of a page. Marks hold for the paragraph that follows.
func parsePage(text string) ([]*paragraph, error) {
	var (
		found []*paragraph
		marks []mark
		last  *paragraph
	)
	lines := strings.Split(text, "\n")
	blank := true // the line before is empty, or a mark
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.TrimSpace(line) == "" && last != nil && last.isOutput() && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "    "):
			last.lines = append(last.lines, strings.Repeat(" ", 80)) // What is printed may have empty lines.
			continue
		case strings.TrimSpace(line) == "":
			blank, last = true, nil
			continue
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			return nil, fmt.Errorf("%d: a block is indented by four blanks here, not fenced", i+1)
		case strings.HasPrefix(strings.TrimSpace(line), "<!--"):
			m, end, err := parseMark(lines, i)
			if err != nil {
				return nil, err
			}
			marks = append(marks, m)
			i, blank, last = end, true, nil
			continue
		case strings.HasPrefix(line, "    ") && (blank || last != nil):
			if last == nil {
				last = &paragraph{line: i + 1, marks: marks}
				found, marks = append(found, last), nil
			}
			last.lines = append(last.lines, line)
			blank = false
			continue
		}
		if len(marks) > 0 {
			return nil, fmt.Errorf("%d: no block follows the mark %q", marks[0].line, marks[0].word)
		}
		blank, last = false, nil
	}
	for _, p := range found {
		p.dedent()
		if err := p.classify(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// parseMark reads the comment that begins in line i and returns its last line.
func parseMark(lines []string, i int) (mark, int, error) {
	begin, text := i, lines[i]
	for !strings.Contains(text, "-->") {
		if i++; i == len(lines) {
			return mark{}, i, fmt.Errorf("%d: the comment has no end", begin+1)
		}
		text += "\n" + lines[i]
	}
	text = strings.TrimSpace(text)
	text = strings.TrimSpace(strings.TrimSuffix(strings.TrimPrefix(text, "<!--"), "-->"))
	word, rest, _ := strings.Cut(text, ":")
	m := mark{begin + 1, strings.TrimSpace(word), strings.TrimSpace(rest)}
	if !slices.Contains(words, m.word) {
		return m, i, fmt.Errorf("%d: there is no mark %q (there are: %s)", begin+1, m.word, strings.Join(words, ", "))
	}
	if m.word == "not run" && m.rest == "" {
		return m, i, fmt.Errorf("%d: not run, and nobody says why", begin+1)
	}
	return m, i, nil
}

func (p *paragraph) dedent() {
	indent := len(p.lines[0])
	for _, l := range p.lines {
		indent = min(indent, len(l)-len(strings.TrimLeft(l, " ")))
	}
	for i := range p.lines {
		p.lines[i] = p.lines[i][indent:]
	}
}

// classify says whether p is commands. What may be some, and is not known, is an error:
// nothing is left out because nobody thought of it.
func (p *paragraph) classify() error {
	for _, word := range []string{"text", "output", "file", "append"} {
		if _, ok := p.mark(word); ok {
			return nil
		}
	}
	first := p.lines[0]
	if rest, ok := strings.CutPrefix(first, "$ "); ok {
		p.commands, p.prompt = true, true
		first = rest
	}
	name, _, _ := strings.Cut(first, " ")
	switch {
	case slices.Contains(programs, name):
		p.commands = true
	case p.commands:
		return fmt.Errorf("%d: %s is not among the programs that pages run; name it in scripts/docsrun/page.go", p.line, name)
	case name != "" && name[0] >= 'a' && name[0] <= 'z':
		if _, err := exec.LookPath(name); err == nil {
			return fmt.Errorf("%d: %s is a program here: is this a command (then name it in scripts/docsrun/page.go) or text (then mark it: <!-- text -->)?", p.line, name)
		}
	}
	return nil
}

// toml says whether p is a piece of yubin.toml.
func (p *paragraph) toml() bool {
	if _, ok := p.mark("text"); ok {
		return false
	}
	return !p.commands && tomlBegins.MatchString(p.lines[0])
}

var tomlBegins = regexp.MustCompile(`^(\[\[?[a-z_]+\]\]?|[a-z_]+ = .*)$`)

// A command is one command of a page, with the output that the page shows for it.
type command struct {
	line  int
	text  string
	shown []string
}

// split takes commands apart. Lines belong together as long as the shell wants more.
func (p *paragraph) split() []command {
	var found []command
	for i := 0; i < len(p.lines); i++ {
		c := command{line: p.line + i, text: p.lines[i]}
		if p.prompt {
			rest, ok := strings.CutPrefix(c.text, "$ ")
			if !ok && len(found) > 0 {
				found[len(found)-1].shown = append(found[len(found)-1].shown, c.text)
				continue
			}
			c.text = rest
		}
		for unfinished(c.text) && i+1 < len(p.lines) {
			i++
			c.text += "\n" + p.lines[i]
		}
		found = append(found, c)
	}
	return found
}

func unfinished(text string) bool {
	if strings.HasSuffix(text, `\`) {
		return true
	}
	if !strings.ContainsAny(text, "'\"|&<({") && !strings.HasPrefix(text, "for ") && !strings.HasPrefix(text, "while ") {
		return false
	}
	cmd := exec.Command("bash", "-n")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return err != nil || len(bytes.TrimSpace(out)) > 0
}

var optional = regexp.MustCompile(`\s*\[(--[^\]]+)\]`)

// variants writes out what stands in brackets: the command without any of it, and with
// all of it, once for each alternative.
func variants(text string) []string {
	if !optional.MatchString(text) {
		return []string{text}
	}
	all := []string{optional.ReplaceAllString(text, "")}
	most := 1
	for _, m := range optional.FindAllStringSubmatch(text, -1) {
		most = max(most, strings.Count(m[1], "|")+1)
	}
	for n := range most {
		all = append(all, optional.ReplaceAllStringFunc(text, func(m string) string {
			choices := strings.Split(optional.FindStringSubmatch(m)[1], "|")
			return " " + strings.TrimSpace(choices[min(n, len(choices)-1)])
		}))
	}
	return all
}

// fill puts words in the place of those that a page leaves to its reader: NAME=VALUE.
func fill(text string, with []string) (string, error) {
	for _, w := range with {
		for _, pair := range strings.Fields(w) {
			name, value, ok := strings.Cut(pair, "=")
			if !ok {
				return "", fmt.Errorf("the mark says %q instead of NAME=VALUE", pair)
			}
			text = regexp.MustCompile(`\b`+regexp.QuoteMeta(name)+`\b`).ReplaceAllLiteralString(text, value)
		}
	}
	return text, nil
}

var (
	times = regexp.MustCompile(`\d+(\.\d+)? ?(ms|seconds?|min|h|days?|d|s|KiB|MiB|GiB|B)\b( \d+ ?(min|h|s)\b)?`)
	// As the log names sessions and transactions.
	names26 = regexp.MustCompile(`\b([0-9A-Z]{26}|TX\d+)\b`)
	numbers = regexp.MustCompile(`\d+`)
	zones   = regexp.MustCompile(`\b(CEST|CET|UTC)\b`)
	blanks  = regexp.MustCompile(`\s+`)
)

// alike says whether what was printed is what the page shows, but for numbers, times,
// sizes and blanks. An ellipsis in the page stands for anything.
func alike(shown, printed []string) bool {
	pattern := []string{}
	for _, l := range shown {
		parts := strings.Split(l, "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(squeeze(parts[i]))
		}
		pattern = append(pattern, strings.Join(parts, ".*"))
	}
	var got []string
	for _, l := range printed {
		got = append(got, squeeze(l))
	}
	re := regexp.MustCompile("(?s)^" + strings.TrimSpace(strings.Join(pattern, " ?")) + "$")
	return re.MatchString(strings.TrimSpace(strings.Join(got, " ")))
}

func squeeze(l string) string {
	l = names26.ReplaceAllString(l, "TX")
	l = zones.ReplaceAllString(times.ReplaceAllString(l, "0"), "UTC")
	return blanks.ReplaceAllString(numbers.ReplaceAllString(l, "0"), " ")
}

func readPage(path string) ([]*paragraph, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parsePage(string(b))
}
