package transcript

import (
	"fmt"
	"slices"
	"strings"
)

// unordered reads as many lines as there are S& lines and pairs them.
func (p *player) unordered(first step, steps []step) (used int, err error) {
	var open []step
	for _, st := range steps {
		if st.verb != wantAnyLine && st.verb != wantAnyMatch || st.conn != first.conn {
			break
		}
		open = append(open, st)
	}
	c, err := p.client(first)
	if err != nil {
		return 0, err
	}
	used = len(open)
	for len(open) > 0 {
		got, err := p.line(c, first.conn)
		if err != nil {
			return 0, fmt.Errorf("the server said too little (%w)\n  want: %s", err, texts(open))
		}
		i, err := p.find(open, got)
		if err != nil {
			return 0, err
		}
		if i < 0 {
			return 0, fmt.Errorf("the server said something else\n  got:  %s\n  want one of: %s", printable(got), texts(open))
		}
		open = slices.Delete(open, i, i+1)
	}
	return used, nil
}

// find returns the first of steps that line fits, or -1.
func (p *player) find(steps []step, line string) (int, error) {
	for i, st := range steps {
		if ok, err := p.fits(st, line); ok || err != nil {
			return i, err
		}
	}
	return -1, nil
}

func texts(steps []step) string {
	var all []string
	for _, st := range steps {
		all = append(all, st.text)
	}
	return strings.Join(all, "\n        ")
}

// skip reads lines until the step after S... fits.
func (p *player) skip(first step, steps []step) (used int, err error) {
	if len(steps) < 2 || steps[1].conn != first.conn || steps[1].verb != wantLine && steps[1].verb != wantMatch {
		return 0, fmt.Errorf("no S: or S~: line follows the S... line")
	}
	c, err := p.client(first)
	if err != nil {
		return 0, err
	}
	for {
		got, err := p.line(c, first.conn)
		if err != nil {
			return 0, fmt.Errorf("the server never said it (%w)\n  want: %s", err, steps[1].text)
		}
		if ok, err := p.fits(steps[1], got); ok || err != nil {
			return 2, err
		}
	}
}

func (p *player) do(st step) error {
	if err := p.outputUsedUp(st); err != nil {
		return err
	}
	if p.server.Do == nil {
		return fmt.Errorf("this suite has no \"do\"")
	}
	args, err := expand(p.vars, st.text, verbatim)
	if err != nil {
		return err
	}
	out, err := p.server.Do(st.name, args)
	if err != nil {
		return fmt.Errorf("do %s: %w", st.name, err)
	}
	p.out = nil
	if out != "" {
		p.out = strings.Split(strings.TrimSuffix(strings.ReplaceAll(out, "\r\n", "\n"), "\n"), "\n")
	}
	for _, l := range p.out {
		p.log = append(p.log, "O: "+printable(l))
	}
	return nil
}

// output compares an O line with the output of the last "do".
func (p *player) output(st step, steps []step) (used int, err error) {
	if st.verb == outSkip {
		return p.outputSkip(steps)
	}
	if len(p.out) == 0 {
		return 0, fmt.Errorf("the output ends too soon\n  want: %s", st.text)
	}
	ok, err := p.fits(st, p.out[0])
	if !ok && err == nil {
		err = fmt.Errorf("the output is something else\n  got:  %s\n  want: %s", p.out[0], st.text)
	}
	p.out = p.out[1:]
	return 1, err
}

func (p *player) outputSkip(steps []step) (used int, err error) {
	if len(steps) < 2 || steps[1].verb != outLine && steps[1].verb != outMatch {
		p.out = nil
		return 1, nil
	}
	for i, line := range p.out {
		ok, err := p.fits(steps[1], line)
		if ok || err != nil {
			p.out = p.out[i+1:]
			return 2, err
		}
	}
	return 0, fmt.Errorf("the output has no such line\n  want: %s", steps[1].text)
}

// outputUsedUp fails if O lines left some output untouched. A "do" whose
// output no O line looks at is fine.
func (p *player) outputUsedUp(at step) error {
	i := slices.IndexFunc(p.file.steps, func(st step) bool { return st.line == at.line })
	if i < 0 {
		i = len(p.file.steps)
	}
	looked := i > 0 && (p.file.steps[i-1].verb == outLine || p.file.steps[i-1].verb == outMatch)
	if looked && len(p.out) > 0 {
		return fmt.Errorf("the output goes on\n  got:  %s", strings.Join(p.out, "\n        "))
	}
	return nil
}
