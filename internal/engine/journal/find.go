package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"yubin/internal/mail"
)

// Sizes of a search, in octets.
const (
	MaxNeedle = 1000
	findChunk = 4 << 20 // read at once; a line is shorter
)

// needle is what is sought.
type needle struct {
	text    string       // as given, without blanks and angle brackets around it
	address mail.Address // in its key form, or zero
	// patterns are what lines about it have at least one of.
	patterns [][]byte
}

// parseNeedle reads an address, a Message-ID or the name of a session or
// transaction; some are several of these at once. The error is of kind Invalid
// or TooLarge.
func parseNeedle(s string) (n needle, err error) {
	s = strings.TrimSpace(s)
	n.text = strings.TrimSuffix(strings.TrimPrefix(s, "<"), ">")
	switch {
	case n.text == "":
		return n, mail.Errorf(mail.Invalid, "give an address, a Message-ID or the name of a session")
	case len(s) > MaxNeedle:
		return n, mail.Errorf(mail.TooLarge, "what is sought has over %d octets", MaxNeedle)
	}
	n.add(n.text)
	n.add("<" + n.text + ">")
	if a, err := mail.ParseAddress(n.text); err == nil {
		n.address = a.Key()
		n.add(n.address.String())
	}
	return n, nil
}

func (n *needle) add(s string) {
	p := appendString(nil, s)
	if !slices.ContainsFunc(n.patterns, func(q []byte) bool { return bytes.Equal(p, q) }) {
		n.patterns = append(n.patterns, p)
	}
}

// matches decides about an entry whose line has a pattern.
func (n *needle) matches(e *Entry) bool {
	if e.Session == n.text || e.Transaction == n.text ||
		strings.TrimSuffix(strings.TrimPrefix(e.MessageID, "<"), ">") == n.text {
		return true
	}
	if n.address.IsZero() {
		return false
	}
	return mail.Address(e.ReversePath).Key() == n.address ||
		slices.ContainsFunc(e.Recipients, func(a mail.Address) bool { return a.Key() == n.address })
}

// Find gives at most limit entries since a time that are about an address
// (sender or recipient, in any case), a Message-ID with or without its angle
// brackets, a session or a transaction, the newest first. It reads all that is
// remembered since then, at some GiB a second.
func (j *Journal) Find(ctx context.Context, sought string, since time.Time, limit int) ([]Entry, error) {
	return j.find(ctx, sought, since, time.Time{}, limit)
}

func (j *Journal) find(ctx context.Context, sought string, since, until time.Time, limit int) ([]Entry, error) {
	n, err := parseNeedle(sought)
	if err != nil {
		return nil, err
	}
	j.flush()
	files, err := j.files.list()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := search{needle: n, since: since, until: until, limit: max(limit, 1)}
	first, last := since.UTC().Format(time.DateOnly), until.Add(clockSlack).UTC().Format(time.DateOnly)
	for _, f := range slices.Backward(files) {
		if !until.IsZero() && f.day > last {
			continue
		}
		if f.day < first || len(s.found) >= s.limit {
			break
		}
		if err := s.file(ctx, filepath.Join(j.files.path, f.name())); err != nil {
			return nil, err
		}
	}
	if s.damaged > 0 {
		j.o.Log.Warn("lines of the journal cannot be read; they are left out of what is found", "lines", s.damaged, "sought", n.text)
	}
	slices.SortStableFunc(s.found, func(a, b Entry) int { return b.At.Compare(a.At) })
	return s.found, nil
}

// cameWithin is how far the time of an entry may be from that of its item.
const cameWithin = 15 * time.Minute

// Came gives the entry of the transaction that brought a message at about a
// time. It reads only what was written then. NotFound if there is none.
func (j *Journal) Came(ctx context.Context, transaction string, at time.Time) (Entry, error) {
	found, err := j.find(ctx, transaction, at.Add(-cameWithin), at.Add(cameWithin), MaxRecipients)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range found {
		if e.Kind == Accepted && e.Transaction == transaction {
			return e, nil
		}
	}
	return Entry{}, mail.Errorf(mail.NotFound, "nothing is remembered of the transaction %s", transaction)
}

// Begins is the day from which on entries are remembered, or zero if there are
// none.
func (j *Journal) Begins() (time.Time, error) {
	files, err := j.files.list()
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(files) == 0 {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.DateOnly, files[0].day)
}

// search is a Find under way.
type search struct {
	needle
	since time.Time
	until time.Time // or zero
	limit int
	found []Entry
	buf   []byte

	damaged int // lines with what is sought that are no entries
}

// file looks through one file from its end.
func (s *search) file(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Removed meanwhile.
	}
	if err != nil {
		return err
	}
	defer f.Close()
	begin, end, err := s.bounds(f)
	if err != nil {
		return err
	}
	var rest []byte // the end of a line that begins before
	for end > begin && len(s.found) < s.limit {
		if err := ctx.Err(); err != nil {
			return err
		}
		start := max(end-findChunk, begin)
		chunk, err := s.read(f, start, int(end-start), rest)
		if err != nil {
			return err
		}
		if start > begin {
			cut := bytes.IndexByte(chunk, '\n') + 1
			rest = append(rest[:0], chunk[:min(cut, findChunk)]...) // Without a newline it is no entry's.
			chunk = chunk[cut:]
		}
		s.lines(chunk)
		end = start
	}
	return nil
}

func (s *search) covers(at time.Time) bool {
	return !at.Before(s.since) && (s.until.IsZero() || !at.After(s.until))
}

// read returns n octets at start, then rest. They are good until the next call.
func (s *search) read(f *os.File, start int64, n int, rest []byte) ([]byte, error) {
	s.buf = slices.Grow(s.buf[:0], n+len(rest))[:n]
	got, err := f.ReadAt(s.buf, start)
	if err == io.EOF {
		err = nil // It was cut meanwhile.
	}
	return append(s.buf[:got], rest...), err
}

// lines looks through whole lines, the last first.
func (s *search) lines(text []byte) {
	for _, at := range slices.Backward(s.hits(text)) {
		if len(s.found) >= s.limit {
			return
		}
		end := bytes.IndexByte(text[at:], '\n')
		if end < 0 {
			end = len(text) - at
		}
		switch e, ok := parseLine(text[at : at+end]); {
		case !ok:
			s.damaged++
		case s.covers(e.At) && s.matches(&e):
			s.found = append(s.found, e)
		}
	}
}

// hits gives where lines begin that have a pattern, in order.
func (s *search) hits(text []byte) (starts []int) {
	for _, p := range s.patterns {
		for at := 0; at < len(text); {
			i := bytes.Index(text[at:], p)
			if i < 0 {
				break
			}
			i += at
			starts = append(starts, bytes.LastIndexByte(text[:i], '\n')+1)
			end := bytes.IndexByte(text[i:], '\n')
			if end < 0 {
				break
			}
			at = i + end + 1
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
}
