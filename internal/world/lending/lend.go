package lending

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// Lend does what the server at the other end of conn asks for with places, and writes
// to out what it has to say, until it is done, out fails or ctx ends. It closes conn.
func Lend(ctx context.Context, conn *net.UnixConn, places []*files.Place, out io.Writer) error {
	l := &lender{conn: conn, in: bufio.NewReader(conn), out: out, places: places, folders: make(map[uint64]*files.Folder)}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	err := l.name()
	for err == nil {
		err = l.serve()
	}
	for _, f := range l.folders {
		_ = f.Close()
	}
	_ = conn.Close()
	if err == io.EOF {
		return nil
	}
	return err
}

// lender is one Lend.
type lender struct {
	conn    *net.UnixConn
	in      *bufio.Reader
	out     io.Writer
	places  []*files.Place
	folders map[uint64]*files.Folder // by their numbers, which follow those of the places
	last    uint64
	buf     []byte // of what is read
	answer  []byte // of what is written
	handed  []*os.File
}

// name tells the server of the places.
func (l *lender) name() error {
	if len(l.places) > MaxPlaces {
		return mail.Errorf(mail.TooLarge, "at most %d files and folders can be named", MaxPlaces)
	}
	l.last = uint64(len(l.places))
	b := beginFrame(nil, kindPlaces)
	for _, p := range l.places {
		if len(p.Path()) > MaxName {
			return mail.Errorf(mail.TooLarge, "the path %.100s… has over %d octets", p.Path(), MaxName)
		}
		if b = appendText(b, p.Path()); len(b) > maxFrame/2 {
			if err := l.send(b); err != nil {
				return err
			}
			b = beginFrame(b, kindPlaces)
		}
	}
	if err := l.send(b); err != nil {
		return err
	}
	return l.send(beginFrame(b, kindGo))
}

// send ends a frame and sends it, with the files that are handed over by it.
func (l *lender) send(b []byte) error {
	b = endFrame(b)
	if len(b) > headLen+maxFrame {
		return errWire
	}
	var rights []byte
	if len(l.handed) > 0 {
		fds := make([]int, len(l.handed))
		for i, f := range l.handed {
			fds[i] = int(f.Fd())
		}
		rights = syscall.UnixRights(fds...)
	}
	err := l.conn.SetWriteDeadline(time.Now().Add(AnswerTimeout))
	if err == nil {
		var n int
		if n, _, err = l.conn.WriteMsgUnix(b, rights, nil); err == nil && n < len(b) {
			_, err = l.conn.Write(b[n:])
		}
	}
	for _, f := range l.handed {
		_ = f.Close()
	}
	l.handed = l.handed[:0]
	return err
}

// serve takes one frame.
func (l *lender) serve() error {
	kind, content, err := readFrame(l.in, l.buf)
	if err != nil {
		return err
	}
	l.buf = content[:cap(content)]
	p := &parser{b: content}
	switch kind {
	case kindOctets:
		_, err := l.out.Write(content)
		return err
	case kindClose:
		number := p.number()
		if f := l.folders[number]; f != nil {
			delete(l.folders, number)
			return f.Close()
		}
		return nil
	case kindAsk:
		return l.asked(p)
	}
	return errWire
}

// asked answers what was asked.
func (l *lender) asked(p *parser) error {
	number, many := p.number(), p.number()
	if many == 0 || many > maxAsks {
		return errWire
	}
	asks := make([]files.Ask, many)
	for i := range asks {
		asks[i] = p.ask()
	}
	if p.bad || len(p.b) > 0 {
		return errWire
	}
	b := beginFrame(l.answer, kindAnswer)
	switch folder := l.folders[number]; {
	case folder != nil && asks[0].Op == files.OpList && len(asks) == 1:
		err := l.list(folder, asks[0])
		b = l.append(beginFrame(l.answer, kindAnswer), files.Answer{Err: err})
	case folder != nil:
		for _, a := range folder.Do(asks...) {
			b = l.append(b, a)
		}
	case number < uint64(len(l.places)):
		for _, a := range l.places[number].Do(asks...) {
			b = l.append(b, a)
		}
	default:
		return errWire
	}
	l.answer = b
	return l.send(b)
}

// append adds an answer; what is open in it goes along, or is kept here under a number.
func (l *lender) append(b []byte, a files.Answer) []byte {
	if a.Folder != nil && len(l.folders) >= MaxFolders {
		a.Err = errors.Join(mail.Errorf(mail.TooLarge, "more than %d folders are open", MaxFolders), a.Folder.Close())
		a.Folder = nil
	}
	switch {
	case a.Err != nil:
		return appendError(append(b, hasError), a.Err)
	case a.File != nil:
		l.handed = append(l.handed, a.File)
		return append(b, hasFile)
	case a.Folder != nil:
		l.folders[l.last] = a.Folder
		b = binary.AppendUvarint(append(b, hasFolder), l.last)
		l.last++
		return b
	case a.Entry.Name() != "":
		return appendEntry(append(b, hasEntry), a.Entry)
	}
	return append(b, 0)
}

// list sends the names of a folder, some at a time.
func (l *lender) list(f *files.Folder, a files.Ask) error {
	return f.ListPieces(a.Name, func(some []fs.DirEntry) error {
		b := beginFrame(l.answer, kindNames)
		for _, e := range some {
			entry := files.NewEntry(e.Name(), e.Type())
			if a.Strict {
				if info, err := e.Info(); err == nil {
					entry = entry.Sized(info.Size(), info.ModTime())
				}
			}
			b = appendEntry(b, entry)
		}
		l.answer = b
		return l.send(b)
	})
}
