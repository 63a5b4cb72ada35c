package mbox

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
)

// Message is a message in a file.
type Message struct {
	Offset   int64 // where it begins, behind its "From " line
	End      int64
	Key      string // of its octets and, if the file has them twice, which one it is
	UID      mail.UID
	Flags    mail.Flags
	Keywords []string
	Received time.Time
	raw      bool // nothing in it was quoted

	validity mail.UIDValidity
	next     mail.UID
	dropped  bool
	internal bool // c-client's data
}

// File is what stands in a file.
type File struct {
	UIDValidity mail.UIDValidity // 0: its messages have no numbers
	UIDNext     mail.UID
	Messages    []Message
}

// Index reads a whole file of size octets. Invalid if it is no mbox.
func Index(r io.ReaderAt, size int64) (f File, err error) {
	x := &indexer{r: r, size: size, in: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10),
		hash: sha256.New(), twice: make(map[string]int), blank: true}
	for err == nil {
		err = x.line()
	}
	if err != io.EOF {
		return f, err
	}
	x.finish(x.size)
	if !x.begun && size > 0 {
		return f, mail.Errorf(mail.Invalid, "it is no mbox: it does not begin with a From line; of a single message yubin judge tells what is thought")
	}
	x.file.number()
	return x.file, nil
}

// number drops UIDs that do not ascend, as they cannot be right.
func (f *File) number() {
	last := mail.UID(0)
	for _, m := range f.Messages {
		if f.UIDValidity == 0 || m.UID == 0 || m.UID <= last {
			f.UIDValidity, f.UIDNext = 0, 0
			break
		}
		last = m.UID
	}
	if f.UIDValidity != 0 {
		f.UIDNext = max(f.UIDNext, last+1)
		return
	}
	for i := range f.Messages {
		f.Messages[i].UID = 0
	}
}

// indexer is one Index.
type indexer struct {
	r    io.ReaderAt
	size int64
	in   *bufio.Reader
	at   int64 // of the next line
	hash hash.Hash

	file    File
	m       Message
	begun   bool
	header  bool
	skip    bool   // the field that goes on is not the message's
	open    string // a field of the file that goes on
	length  int64  // Content-Length, -1 for none
	body    int64  // where the body begins, once the header ended
	until   int64  // the message goes on to here at least
	blank   bool   // the line before was empty
	blankAt int64  // where it began
	held    []byte // that line, while it may be what parts two messages
	twice   map[string]int
}

// line takes one line.
func (x *indexer) line() error {
	start := x.at
	text, err := x.in.ReadSlice('\n')
	whole := !errors.Is(err, bufio.ErrBufferFull)
	x.at += int64(len(text))
	if at, ok := fromDate(bytes.TrimRight(text, "\r\n")); ok && whole && x.mayBegin(start) {
		x.begin(start, at)
	} else if x.begun && len(text) > 0 {
		x.content(text, start)
	}
	if len(text) > 0 {
		x.blank, x.blankAt = len(bytes.TrimRight(text, "\r\n")) == 0, start
	}
	for errors.Is(err, bufio.ErrBufferFull) { // The rest of a very long line.
		text, err = x.in.ReadSlice('\n')
		x.at += int64(len(text))
		x.hash.Write(text)
	}
	if err == io.EOF && x.at < x.size {
		return io.ErrUnexpectedEOF
	}
	if start == 0 && !x.begun {
		return io.EOF
	}
	return err
}

// mayBegin reports whether a message can begin in this line.
func (x *indexer) mayBegin(start int64) bool {
	return start >= x.until && (x.blank || start == x.until)
}

// begin starts a message behind a "From " line.
func (x *indexer) begin(start int64, at time.Time) {
	x.finish(start)
	*x = indexer{r: x.r, size: x.size, in: x.in, at: x.at, hash: x.hash, file: x.file, twice: x.twice,
		begun: true, header: true, length: -1, m: Message{Offset: x.at, Received: at}}
	x.hash.Reset()
}

func (x *indexer) content(text []byte, start int64) {
	if !x.header {
		if start < x.until && bytes.HasPrefix(text, []byte("From ")) {
			x.m.raw = true
		}
		x.hashBody(text, start)
		return
	}
	line := string(bytes.TrimRight(text, "\r\n"))
	if line == "" {
		x.closeField()
		x.header, x.body = false, x.at
		if x.trust(); start >= x.until {
			x.held = bytes.Clone(text)
			return
		}
	} else if line[0] != ' ' && line[0] != '\t' {
		x.closeField()
		name, value := field(line)
		if x.skip = fileFields[name] != nil; x.skip {
			x.open = name + ":" + value
		}
		x.about(name, value)
	} else if x.skip = x.skip && folds(x.open); x.skip && len(x.open)+len(line) <= MaxField {
		x.open += " " + line
	}
	if !x.skip || line == "" {
		x.hash.Write(text)
	}
}

// hashBody holds the last empty line back: another message may follow it.
func (x *indexer) hashBody(text []byte, start int64) {
	x.hash.Write(x.held)
	x.held = nil
	if len(bytes.TrimRight(text, "\r\n")) == 0 && start >= x.until {
		x.held = bytes.Clone(text)
		return
	}
	x.hash.Write(text)
}

// closeField reads a field of the file.
func (x *indexer) closeField() {
	if x.open != "" {
		name, value, _ := strings.Cut(x.open, ":")
		fileFields[name](&x.m, value)
	}
	x.open, x.skip = "", false
}

func (x *indexer) about(name, value string) {
	switch name {
	case "content-length":
		if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 62); err == nil && n >= 0 {
			x.length = n
		}
	case "subject":
		x.m.internal = strings.Contains(value, "DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA")
	}
}

// trust believes a Content-Length if the file goes on as it must at its end.
func (x *indexer) trust() {
	if x.length < 0 || x.length > x.size-x.at {
		return
	}
	end := x.at + x.length
	buf := make([]byte, MaxFromLine)
	n, _ := x.r.ReadAt(buf[:min(int64(len(buf)), x.size-end)], end)
	rest := bytes.TrimLeft(buf[:n], "\r\n")
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	_, ok := fromDate(bytes.TrimRight(line, "\r"))
	if ok && len(rest) < n || len(rest) == 0 {
		x.until = end
	}
}

// finish ends the message before end, where another one or nothing begins; the
// empty line there is not its own.
func (x *indexer) finish(end int64) {
	if !x.begun {
		return
	}
	x.closeField()
	m := x.m
	m.End = end
	if x.held != nil {
		m.End = x.blankAt
	}
	if m.validity != 0 && x.file.UIDValidity == 0 {
		x.file.UIDValidity, x.file.UIDNext = m.validity, m.next
	}
	if m.dropped || m.internal && m.validity != 0 || len(x.file.Messages) >= MaxMessages {
		return
	}
	sum := hex.EncodeToString(x.hash.Sum(nil)[:16])
	m.Key = sum + "." + strconv.Itoa(x.twice[sum])
	x.twice[sum]++
	x.file.Messages = append(x.file.Messages, m)
}
