package transcript

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
)

// shown is how many lines of the conversation a failure repeats.
const shown = 30

// player carries out the steps of one file.
type player struct {
	file   *File
	server Server
	conns  map[int]*client
	serves sync.WaitGroup
	vars   map[string]string
	log    []string // what was said so far
	out    []string // lines of the last "do" that no O line took yet
}

// Play plays f against s and returns the first difference, with the file's
// line, what was wanted, what came, and the conversation before it.
func Play(f *File, s Server) error {
	if s.Patience == 0 {
		s.Patience = 10 * time.Second
	}
	p := &player{file: f, server: s, conns: map[int]*client{}, vars: map[string]string{}}
	err := p.play()
	if stuck := p.hangupAll(); err == nil {
		err = stuck
	}
	return err
}

func (p *player) play() error {
	for i := 0; i < len(p.file.steps); {
		st := p.file.steps[i]
		used, err := p.step(st, p.file.steps[i:])
		if err != nil {
			return p.failure(st, err)
		}
		i += used
	}
	return p.outputUsedUp(step{line: -1})
}

func (p *player) failure(st step, err error) error {
	log := p.log
	if len(log) > shown {
		log = append([]string{"..."}, log[len(log)-shown:]...)
	}
	return fmt.Errorf("%s:%d: %w\nthe conversation so far (%s):\n  %s",
		p.file.Path, st.line, err, p.file.Title, strings.Join(log, "\n  "))
}

// step carries out the first of steps, and those that belong together with it.
func (p *player) step(st step, steps []step) (used int, err error) {
	switch st.verb {
	case sendLine, sendRaw:
		return p.send(st, steps)
	case wantAnyLine, wantAnyMatch:
		return p.unordered(st, steps)
	case skipLines:
		return p.skip(st, steps)
	case outLine, outMatch, outSkip:
		return p.output(st, steps)
	case wantLine, wantMatch, wantRaw:
		err = p.want(st)
	case wait:
		time.Sleep(st.wait) // In a synctest bubble: see RunText.
	case do:
		err = p.do(st)
	case let:
		p.vars[st.name], err = expand(p.vars, st.text, verbatim)
	case endWrite:
	default:
		err = p.manage(st)
	}
	return 1, err
}

// manage carries out the steps that open and close connections.
func (p *player) manage(st step) error {
	if st.verb == connect && p.conns[st.conn] != nil {
		return fmt.Errorf("connection %d is open already", st.conn)
	}
	c, err := p.client(st)
	if err != nil {
		return err
	}
	switch st.verb {
	case wantClose:
		err = c.wantEOF()
		delete(p.conns, st.conn)
	case hangup:
		p.say("C", st.conn, "(closes)")
		err = c.close()
		delete(p.conns, st.conn)
	case startTLS:
		p.say("C", st.conn, "(starts TLS)")
		err = c.startTLS()
	}
	return err
}

// client returns the connection of st, opening it if need be.
func (p *player) client(st step) (*client, error) {
	if c := p.conns[st.conn]; c != nil {
		return c, nil
	}
	c, served := dial(st.from, st.to, p.server.Patience)
	p.serves.Go(func() { p.server.Serve(served) })
	p.conns[st.conn] = c
	if st.tls {
		return c, c.startTLS()
	}
	return c, nil
}

func (p *player) say(side string, conn int, text string) {
	p.log = append(p.log, fmt.Sprintf("%s%d: %s", side, conn, text))
}

// send gathers the C lines that follow each other on one connection.
func (p *player) send(first step, steps []step) (used int, err error) {
	var octets strings.Builder
	for _, st := range steps {
		if st.verb != sendLine && st.verb != sendRaw || st.conn != first.conn {
			break
		}
		text, err := expand(p.vars, st.text, verbatim)
		if err == nil && st.verb == sendRaw {
			text, err = unescape(text)
		} else {
			text += "\r\n"
		}
		if err != nil {
			return 0, err
		}
		octets.WriteString(text)
		p.say("C", st.conn, printable(text))
		used++
	}
	c, err := p.client(first)
	if err != nil {
		return 0, err
	}
	return used, c.send(octets.String())
}

func (p *player) want(st step) error {
	c, err := p.client(st)
	if err != nil {
		return err
	}
	if st.verb == wantMatch {
		return p.wantMatch(c, st)
	}
	text, err := expand(p.vars, st.text, verbatim)
	if err == nil && st.verb == wantRaw {
		text, err = unescape(text)
	} else {
		text += "\r\n"
	}
	if err != nil {
		return err
	}
	got, err := c.octets(text)
	if got != "" {
		p.say("S", st.conn, printable(got))
	}
	return difference(got, text, err)
}

// difference is nil if the server said what was wanted.
func difference(got, want string, err error) error {
	if err == nil && got == want {
		return nil
	}
	return fmt.Errorf("the server said something else\n  got:  %s%s\n  want: %s", printable(got), because(err), printable(want))
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf(" (%v)", err)
}

// line reads a line of the server and notes it.
func (p *player) line(c *client, conn int) (string, error) {
	got, err := c.line()
	if got != "" || err == nil {
		p.say("S", conn, printable(got))
	}
	return got, err
}

func (p *player) wantMatch(c *client, st step) error {
	pattern, err := p.compile(st)
	if err != nil {
		return err
	}
	got, err := p.line(c, st.conn)
	if err != nil || !p.match(pattern, got) {
		return fmt.Errorf("the server said something else\n  got:  %s%s\n  want: %s", printable(got), because(err), pattern)
	}
	return nil
}

func (p *player) compile(st step) (*regexp.Regexp, error) {
	text, err := expand(p.vars, st.text, regexp.QuoteMeta)
	if err != nil {
		return nil, err
	}
	return regexp.Compile(`^(?:` + text + `)$`)
}

// match applies a pattern and keeps its named groups.
func (p *player) match(pattern *regexp.Regexp, line string) bool {
	m := pattern.FindStringSubmatch(strings.TrimSuffix(line, "\r\n"))
	for i, name := range pattern.SubexpNames() {
		if m != nil && name != "" {
			p.vars[name] = m[i]
		}
	}
	return m != nil
}

// fits reports whether line, with or without its CRLF, is what st asks for.
func (p *player) fits(st step, line string) (bool, error) {
	switch st.verb {
	case wantMatch, wantAnyMatch, outMatch:
		pattern, err := p.compile(st)
		return err == nil && p.match(pattern, line), err
	}
	text, err := expand(p.vars, st.text, verbatim)
	return text == strings.TrimSuffix(line, "\r\n"), err
}
