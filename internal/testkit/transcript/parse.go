package transcript

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// File is a parsed transcript.
type File struct {
	Path  string
	Title string // the first line, without its #
	steps []step
	set   map[string]string
	waits bool
}

// Setting returns the value of a "set" line, or fallback without one.
func (f *File) Setting(key, fallback string) string {
	if v, ok := f.set[key]; ok {
		return v
	}
	return fallback
}

type verb uint8

const (
	sendLine verb = iota
	sendRaw
	wantLine
	wantMatch
	wantRaw
	wantAnyLine  // S&:
	wantAnyMatch // S&~:
	skipLines
	endWrite
	wantClose
	hangup
	startTLS
	connect
	wait
	do
	outLine
	outMatch
	outSkip
	let
)

// step is one directive.
type step struct {
	line int // in the file, from 1
	verb verb
	conn int
	text string // variables not yet expanded
	name string // do, let
	from netip.AddrPort
	to   netip.AddrPort
	tls  bool
	wait time.Duration
}

// Parse reads a transcript.
func Parse(path, text string) (*File, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	title, ok := strings.CutPrefix(lines[0], "# ")
	if !ok || !strings.Contains(title, "RFC") && !strings.Contains(title, "CVE") {
		return nil, fmt.Errorf("%s:1: the first line must be \"# RFC ... §...\"", path)
	}
	f := &File{Path: path, Title: title, set: map[string]string{}}
	for i := 1; i < len(lines); i++ {
		used, err := f.directive(i+1, lines[i], lines[i+1:])
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, i+1, err)
		}
		i += used
	}
	return f, nil
}

// directive reads one line, and of the lines that follow the body of a block.
func (f *File) directive(number int, line string, rest []string) (used int, err error) {
	st := step{line: number, conn: 1}
	word, args, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch {
	case word == "" || word[0] == '#':
		return 0, nil
	case word == "set":
		key, value, _ := strings.Cut(args, " ")
		f.set[key] = value
		return 0, nil
	case word == "block":
		st.verb, st.name = let, args
		st.text, used, err = block(rest)
	default:
		err = st.parse(line, word, args)
	}
	f.waits = f.waits || st.verb == wait
	f.steps = append(f.steps, st)
	return used, err
}

func block(lines []string) (text string, used int, err error) {
	var b strings.Builder
	for i, l := range lines {
		if l == "end" {
			return b.String(), i + 1, nil
		}
		b.WriteString(strings.TrimSuffix(l, "\r") + "\r\n")
	}
	return "", 0, fmt.Errorf("block has no end")
}

func (st *step) parse(line, word, args string) (err error) {
	switch word {
	case "send":
		st.verb = endWrite
	case "close":
		st.verb, err = wantClose, st.number(args)
	case "hangup":
		st.verb, err = hangup, st.number(args)
	case "starttls":
		st.verb, err = startTLS, st.number(args)
	case "connect":
		st.verb, err = connect, st.connect(args)
	case "wait":
		st.verb = wait
		st.wait, err = time.ParseDuration(args)
	case "do":
		st.verb = do
		st.name, st.text, _ = strings.Cut(args, " ")
	case "let":
		st.verb = let
		st.name, st.text, _ = strings.Cut(args, " ")
	default:
		return st.talk(line)
	}
	return err
}

func (st *step) number(args string) (err error) {
	if args != "" {
		st.conn, err = strconv.Atoi(args)
	}
	return err
}

func (st *step) connect(args string) error {
	words := strings.Fields(args)
	if len(words) == 0 {
		return fmt.Errorf("connect needs a number")
	}
	err := st.number(words[0])
	for i := 1; i < len(words) && err == nil; i++ {
		switch {
		case words[i] == "tls":
			st.tls = true
		case words[i] == "from" && i+1 < len(words):
			st.from, err = netip.ParseAddrPort(words[i+1])
			i++
		case words[i] == "to" && i+1 < len(words):
			st.to, err = netip.ParseAddrPort(words[i+1])
			i++
		default:
			return fmt.Errorf("connect does not know %q", words[i])
		}
	}
	return err
}

// talkLine is side, connection, kind and text of a line like "S2~: 250 .*".
var talkLine = regexp.MustCompile(`^([CSO])(\d*)(~|!|&~|&|)(?:: ?(.*)|(\.\.\.))$`)

func (st *step) talk(line string) (err error) {
	m := talkLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("not a directive: %q", line)
	}
	if st.text = m[4]; m[2] != "" {
		err = st.number(m[2])
	}
	kinds := map[string]verb{
		"C": sendLine, "C!": sendRaw,
		"S": wantLine, "S~": wantMatch, "S!": wantRaw, "S&": wantAnyLine, "S&~": wantAnyMatch, "S...": skipLines,
		"O": outLine, "O~": outMatch, "O...": outSkip,
	}
	v, ok := kinds[m[1]+m[3]+m[5]]
	if !ok {
		return fmt.Errorf("not a directive: %q", line)
	}
	st.verb = v
	return err
}
