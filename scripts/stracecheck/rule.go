package main

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
)

// kind is what a promise is about.
type kind int

const (
	message kind = iota // a message, known by its token
	large               // one whose octets are a file
	change              // a change that has no token: whatever was committed since it was asked for
	removal             // from the queue: what was read is the last word of the next hop, a commit follows
)

// promise is something that yubin wrote to a socket and must not have written
// before what it says was on disk; for a removal, what it read there.
type promise struct {
	name  string
	kind  kind
	conn  string // "127.0.0.1:2525->127.0.0.1:40000"; or only "->127.0.0.1:25", for whoever goes there
	words string // what was written
	token string // of the message
}

// house is a trace as the rules look at it.
type house struct {
	calls  []call
	frames []frame // of the WAL, in order
	syncs  []call  // that succeeded
}

func newHouse(calls []call) (*house, error) {
	h, w := &house{calls: calls}, wal{}
	for _, c := range calls {
		switch {
		case c.Result < 0:
		case c.Name == "fsync" || c.Name == "fdatasync":
			h.syncs = append(h.syncs, c)
		case isWAL(c.On) && strings.Contains(c.Name, "write"):
			if err := w.write(c); err != nil {
				return nil, err
			}
		}
	}
	if h.frames = w.frames; len(h.frames) == 0 {
		return nil, fmt.Errorf("nothing was written to the WAL")
	}
	return h, nil
}

// check returns what is wrong with each promise; nothing if all were kept.
// Promises are in the order of time for each connection.
func (h *house) check(promises []promise) (wrong []string) {
	at := map[string]place{}
	for _, p := range promises {
		answer, next, ok := h.find(p, at[p.conn])
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s: %q was never seen on %s", p.name, p.words, p.conn))
			continue
		}
		at[p.conn] = next
		if err := h.kept(p, answer); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %q (line %d) although %v", p.name, p.words, answer.Begin, err))
		}
	}
	return wrong
}

// place is where in what was written to a connection to look on.
type place struct{ call, octet int }

// find looks for the words of p, and says where to look for the next.
func (h *house) find(p promise, from place) (answer call, next place, ok bool) {
	for i := from.call; i < len(h.calls); i++ {
		c := h.calls[i]
		if !p.kind.in(c.Name) || !strings.Contains(c.On, p.conn+"]") {
			continue
		}
		text, skip := c.Data(), 0
		if i == from.call {
			skip = min(from.octet, len(text))
		}
		if at := strings.Index(text[skip:], p.words); at >= 0 {
			return c, place{i, skip + at + len(p.words)}, true
		}
	}
	return call{}, from, false
}

// in reports whether the words of such a promise are in a call.
func (k kind) in(call string) bool {
	if k == removal {
		return call == "read"
	}
	return call == "write" || call == "writev"
}

// kept says why what p promised was not durable when answer was entered.
func (h *house) kept(p promise, answer call) error {
	switch p.kind {
	case change:
		return h.changed(answer)
	case removal:
		return h.removed(answer)
	}
	at := slices.IndexFunc(h.frames, func(f frame) bool { return strings.Contains(f.page, p.token) })
	if at < 0 || !h.frames[at].Before(answer) {
		return fmt.Errorf("the WAL did not have the message")
	}
	if p.kind == large {
		if err := h.filed(p.token, h.frames[at].call); err != nil {
			return err
		}
	}
	end := slices.IndexFunc(h.frames[at:], func(f frame) bool { return f.commit })
	if end < 0 || !h.frames[at+end].Before(answer) {
		return fmt.Errorf("the transaction with the message (line %d) was not committed", h.frames[at].Begin)
	}
	return h.synced(h.frames[at+end].call, answer)
}

// changed wants a commit since the last thing that was read from the connection
// of answer, and that this and all others since were synced.
func (h *house) changed(answer call) error {
	var asked call
	for _, c := range h.calls {
		if c.Name == "read" && c.On == answer.On && c.Result > 0 && c.Before(answer) {
			asked = c
		}
	}
	commits := 0
	for _, f := range h.frames {
		if !f.commit || !asked.Before(f.call) || f.Begin > answer.Begin {
			continue
		}
		commits++
		if err := h.synced(f.call, answer); err != nil {
			return err
		}
	}
	if commits == 0 {
		return fmt.Errorf("nothing was committed since it was asked for (line %d)", asked.End)
	}
	return nil
}

// removed wants a commit, and its sync, after the next hop has said that it has
// the message: until then it is ours.
func (h *house) removed(heard call) error {
	end := call{Begin: math.MaxInt}
	for _, f := range h.frames {
		if f.commit && heard.Before(f.call) {
			return h.synced(f.call, end)
		}
	}
	return fmt.Errorf("nothing was committed after it")
}

// synced wants a sync that was entered after written was over, and was over
// when limit was entered.
func (h *house) synced(written, limit call) error {
	for _, s := range h.syncs {
		if s.On == written.On && written.Before(s) && s.Before(limit) {
			return nil
		}
	}
	return fmt.Errorf("what was written to %s (line %d) was not synced", path.Base(written.On), written.End)
}

// filed wants the file of a large message and its folder synced before row was
// written to the WAL.
func (h *house) filed(token string, row call) error {
	var last call
	for _, c := range h.calls {
		if c.Name == "write" && strings.Contains(c.On, "/blobs/tmp/") && (c.On == last.On || strings.Contains(c.Data(), token)) && c.Before(row) {
			last = c
		}
	}
	if last.On == "" {
		return fmt.Errorf("no file has the message")
	}
	moved, to := h.renamed(last.On)
	if !last.Before(moved) || !moved.Before(row) {
		return fmt.Errorf("the file of the message has no name yet")
	}
	if err := h.synced(last, moved); err != nil {
		return err
	}
	shelf := path.Dir(to)
	if err := h.folderSynced(shelf, moved, row); err != nil {
		return err
	}
	if made, ok := h.made(shelf); ok {
		return h.folderSynced(path.Dir(shelf), made, row)
	}
	return nil
}

// folderSynced wants the folder synced between two calls.
func (h *house) folderSynced(folder string, after, before call) error {
	after.On = folder
	return h.synced(after, before)
}

// renamed finds the call that moved a file, and where to.
func (h *house) renamed(file string) (call, string) {
	for _, c := range h.calls {
		if strings.HasPrefix(c.Name, "rename") && c.Result == 0 && len(c.Strings) == 2 && sameFile(c.Strings[0], file) {
			return c, c.Strings[1]
		}
	}
	return call{}, ""
}

// made finds the call that made a folder.
func (h *house) made(folder string) (call, bool) {
	for _, c := range h.calls {
		if strings.HasPrefix(c.Name, "mkdir") && c.Result == 0 && len(c.Strings) == 1 && sameFile(c.Strings[0], folder) {
			return c, true
		}
	}
	return call{}, false
}

// sameFile compares names that were given with those of descriptors, which are
// absolute: yubin's are too.
func sameFile(a, b string) bool { return path.Clean(a) == path.Clean(b) }
