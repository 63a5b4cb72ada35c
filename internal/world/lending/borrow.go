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
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// Borrower works with places that a command at the other end of a connection lends.
// Safe for concurrent use.
type Borrower struct {
	conn   *net.UnixConn
	places []*files.Place
	wait   time.Duration // AnswerTimeout, save in tests

	writing sync.Mutex // a frame at a time
	frame   []byte

	asking   sync.Mutex // a question at a time
	answers  chan heard
	question []byte

	gone context.Context // ends when the command is, with the cause
	end  context.CancelCauseFunc
	read sync.WaitGroup
}

// heard is a frame of the command, with the files that came with it.
type heard struct {
	kind    byte
	content []byte
	files   []int
}

// errGone is for who works with files of a command that is not there any more.
func (b *Borrower) errGone() error {
	return &mail.Error{Kind: mail.Unavailable, Text: "the command that has the files went away", Err: context.Cause(b.gone)}
}

// Borrow hears which places are lent. It owns conn from then on: Close closes it. If it
// fails, conn is closed.
func Borrow(ctx context.Context, conn *net.UnixConn) (*Borrower, error) {
	b := &Borrower{conn: conn, answers: make(chan heard), wait: AnswerTimeout}
	in := newReader(conn)
	err := conn.SetReadDeadline(time.Now().Add(b.wait))
	if err == nil {
		err = b.hear(in)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		in.drop()
		return nil, errors.Join(err, conn.Close())
	}
	b.gone, b.end = context.WithCancelCause(ctx)
	b.read.Go(func() { b.listen(in) })
	return b, nil
}

// hear reads the places.
func (b *Borrower) hear(in *reader) error {
	var paths []string
	for {
		h, err := in.next()
		if err != nil {
			return err
		}
		if len(h.files) > 0 {
			closeNumbers(h.files)
			return errWire
		}
		p := &parser{b: h.content}
		switch h.kind {
		case kindPlaces:
			for len(p.b) > 0 {
				paths = append(paths, p.text())
			}
			if p.bad || len(paths) > MaxPlaces {
				return errWire
			}
		case kindGo:
			for i, path := range paths {
				b.places = append(b.places, files.PlaceOf(path, &borrowed{b, uint64(i), path}))
			}
			return nil
		default:
			return errWire
		}
	}
}

// Places are what is lent, in the order of Lend.
func (b *Borrower) Places() []*files.Place { return b.places }

// Context ends when the command is gone, or with the context of Borrow.
func (b *Borrower) Context() context.Context { return b.gone }

// Close ends the loan. Files that were handed over stay open.
func (b *Borrower) Close() error {
	b.end(context.Canceled)
	err := b.conn.Close()
	b.read.Wait()
	return err
}

// Write has octets written to the out of Lend.
func (b *Borrower) Write(p []byte) (int, error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	for n := 0; n < len(p); {
		some := p[n:min(len(p), n+maxOctets)]
		b.frame = append(beginFrame(b.frame, kindOctets), some...)
		if err := b.send(b.frame); err != nil {
			return n, err
		}
		n += len(some)
	}
	return len(p), nil
}

// send ends a frame and sends it. The caller holds writing.
func (b *Borrower) send(frame []byte) error {
	err := b.conn.SetWriteDeadline(time.Now().Add(b.wait))
	if err == nil {
		_, err = b.conn.Write(endFrame(frame))
	}
	if err != nil {
		b.end(err)
		_ = b.conn.Close() // Half a frame may be on its way.
		return b.errGone()
	}
	return nil
}

// listen takes what the command sends until it is gone.
func (b *Borrower) listen(in *reader) {
	for {
		h, err := in.next()
		if err != nil {
			b.end(err)
			in.drop()
			return
		}
		select {
		case b.answers <- h:
		case <-b.gone.Done():
			closeNumbers(h.files)
			in.drop()
			return
		}
	}
}

// borrowed is a place or folder of the command, by its number. It is a files.Doer.
type borrowed struct {
	b      *Borrower
	number uint64
	path   string
}

// Close tells the command that the folder is not needed any more.
func (d *borrowed) Close() error {
	if d.b.gone.Err() != nil {
		return nil
	}
	d.b.writing.Lock()
	defer d.b.writing.Unlock()
	d.b.frame = binary.AppendUvarint(beginFrame(d.b.frame, kindClose), d.number)
	return d.b.send(d.b.frame)
}

// Do implements files.Doer.
func (d *borrowed) Do(asks ...files.Ask) []files.Answer {
	out := make([]files.Answer, len(asks))
	for done := 0; done < len(asks); {
		some := asks[done:min(len(asks), done+maxAsks)]
		d.ask(some, out[done:done+len(some)])
		done += len(some)
	}
	return out
}

// ask has the command do things, and fills in what came of it.
func (d *borrowed) ask(asks []files.Ask, out []files.Answer) {
	b := d.b
	b.asking.Lock()
	defer b.asking.Unlock()
	err := b.put(d.number, asks)
	for more := true; more && err == nil; {
		var h heard
		if h, err = b.await(); err == nil {
			more, err = d.take(h, asks, out)
		}
	}
	if err == nil {
		return
	}
	for i := range out {
		if out[i].File != nil {
			_ = out[i].File.Close()
		}
		out[i] = files.Answer{Err: err}
	}
}

// put sends a question.
func (b *Borrower) put(number uint64, asks []files.Ask) error {
	q := binary.AppendUvarint(binary.AppendUvarint(beginFrame(b.question, kindAsk), number), uint64(len(asks)))
	for _, a := range asks {
		if len(a.Name) > MaxName || len(a.To) > MaxName {
			return &fs.PathError{Op: "open", Path: a.Name, Err: syscall.ENAMETOOLONG}
		}
		q = appendAsk(q, a)
	}
	b.question = q
	b.writing.Lock()
	defer b.writing.Unlock()
	return b.send(q)
}

// await waits for a frame of the command.
func (b *Borrower) await() (heard, error) {
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case h := <-b.answers:
		return h, nil
	case <-b.gone.Done():
	case <-timer.C:
		b.giveUp(errors.New("the command did not answer"))
	}
	return heard{}, b.errGone()
}

// giveUp ends the loan, as the command does not do its part.
func (b *Borrower) giveUp(err error) {
	b.end(err)
	_ = b.conn.Close()
}

// take reads an answer; more says that it goes on in another frame.
func (d *borrowed) take(h heard, asks []files.Ask, out []files.Answer) (more bool, err error) {
	p := &parser{b: h.content}
	if h.kind == kindNames && len(asks) == 1 && asks[0].Op == files.OpList {
		for len(p.b) > 0 {
			out[0].List = append(out[0].List, p.entry())
		}
		more = true
	} else {
		for i := range out {
			d.answer(p, &h, asks[i], &out[i])
		}
	}
	if len(out[0].List) > files.MaxNames+1 {
		p.fail()
	}
	if p.bad || len(p.b) > 0 || len(h.files) > 0 || h.kind != kindAnswer && !more {
		closeNumbers(h.files)
		d.b.giveUp(errWire)
		return false, d.b.errGone()
	}
	return more, nil
}

// answer reads the answer to one thing.
func (d *borrowed) answer(p *parser, h *heard, a files.Ask, out *files.Answer) {
	path := filepath.Join(d.path, a.Name)
	switch has := p.octet(); has {
	case 0:
	case hasError:
		*out = files.Answer{Err: p.error()}
	case hasFile:
		if len(h.files) == 0 {
			p.fail()
			return
		}
		number := h.files[0]
		h.files = h.files[1:]
		out.File, out.Err = files.Adopt(path, os.NewFile(uintptr(number), path))
	case hasFolder:
		out.Folder = files.FolderOf(path, &borrowed{d.b, p.number(), path})
	case hasEntry:
		out.Entry = p.entry()
	default:
		p.fail()
	}
}

// reader reads frames, and takes the files that come with them.
type reader struct {
	conn   *net.UnixConn
	in     *bufio.Reader
	rights []byte
	files  []int
}

func newReader(conn *net.UnixConn) *reader {
	r := &reader{conn: conn, rights: make([]byte, syscall.CmsgSpace(4*maxAsks))}
	r.in = bufio.NewReaderSize(r, 64<<10)
	return r
}

// Read is for the bufio.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, m, flags, _, err := r.conn.ReadMsgUnix(p, r.rights)
	if m > 0 {
		all, parseErr := syscall.ParseSocketControlMessage(r.rights[:m])
		for _, one := range all {
			if numbers, err := syscall.ParseUnixRights(&one); err == nil {
				r.files = append(r.files, numbers...)
			}
		}
		if err == nil {
			err = parseErr
		}
	}
	switch {
	case err == nil && (flags&syscall.MSG_CTRUNC != 0 || len(r.files) > maxAsks):
		return 0, errWire
	case err == nil && n == 0:
		return 0, io.EOF
	case err != nil: // n is -1 then.
		return 0, err
	}
	return n, nil
}

// next returns the next frame. The command sends none before the one before is
// answered, or none with files: what came is of this one.
func (r *reader) next() (h heard, err error) {
	if h.kind, h.content, err = readFrame(r.in, nil); err != nil {
		return h, err
	}
	h.files, r.files = r.files, nil
	return h, nil
}

// drop closes what came and was not taken.
func (r *reader) drop() {
	closeNumbers(r.files)
	r.files = nil
}

func closeNumbers(list []int) {
	for _, n := range list {
		_ = syscall.Close(n)
	}
}
