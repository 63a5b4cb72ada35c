package server

import (
	"bytes"
	"context"
	"io"
	"strconv"

	"yubin/internal/engine/lessons"
	"yubin/internal/engine/transfer"
	"yubin/internal/mail"
	"yubin/internal/server/admin"
	"yubin/internal/world/files"
)

// training learns from folders, and says what was learned.
type training struct{ t *transfers }

// trainBatch is how many messages are read before they are learned, and trainOctets
// how many octets a message may have.
const (
	trainBatch  = 64
	trainOctets = 32 << 20
)

// sure is from which log-odds on a message counts as junk, or as ham below the
// negative, for its content alone: one in twenty is wrong.
const sure = 3

func (t training) account(ctx context.Context, address string) (mail.AccountID, error) {
	if address == "" {
		return lessons.Site, nil
	}
	return t.t.account(ctx, address)
}

// JunkStats implements admin.Junk.
func (t training) JunkStats(ctx context.Context, address string) (out admin.JunkStats, err error) {
	l := &t.t.s.learning
	id, err := t.account(ctx, address)
	if err != nil {
		return out, err
	}
	if id == lessons.Site {
		err = l.feedback.LookAll(ctx)
	} else {
		err = l.feedback.Look(ctx, id)
	}
	if err != nil {
		return out, err
	}
	s, err := l.lessons.Stats(ctx, id)
	out = admin.JunkStats{Account: address, Junk: s.Junk, Ham: s.Ham, Lessons: s.Lessons, Octets: s.Octets}
	if !s.Last.IsZero() {
		out.Last = &s.Last
	}
	return out, err
}

// TrainJunk implements admin.Junk.
func (t training) TrainJunk(ctx context.Context, in admin.TrainJunk, from *files.Place, progress func(int)) (out admin.TrainedJunk, err error) {
	book := t.t.s.learning.lessons
	id, err := t.account(ctx, in.Account)
	if err != nil {
		return out, err
	}
	teach := func(list []lessons.Sample) error { return book.Train(ctx, id, list, in.As == admin.AsJunk) }
	switch in.As {
	case admin.AsJunk, admin.AsHam:
	case admin.AsNoMore:
		teach = func(list []lessons.Sample) error { return book.Untrain(ctx, id, list) }
	default:
		return out, mail.Errorf(mail.Invalid, "messages are learned as junk, ham or none")
	}
	var list []lessons.Sample
	flush := func() error {
		if err := teach(list); err != nil {
			return err
		}
		out.Messages += len(list)
		list = list[:0]
		progress(out.Messages)
		return nil
	}
	out.Failed, out.Failures, err = t.eachMessage(ctx, from, in.Quoting, func(_, _ string, s lessons.Sample) error {
		if list = append(list, s); len(list) < trainBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return out, err
}

// TestJunk implements admin.Junk.
func (t training) TestJunk(ctx context.Context, in admin.TestJunk, from *files.Place, score func(admin.JunkScore)) (out admin.TestedJunk, err error) {
	id, err := t.account(ctx, in.Account)
	if err != nil {
		return out, err
	}
	out.Failed, out.Failures, err = t.eachMessage(ctx, from, in.Quoting, func(folder, message string, s lessons.Sample) error {
		n, err := t.t.s.learning.lessons.Test(ctx, id, s)
		if err != nil {
			return err
		}
		out.Messages++
		switch {
		case n >= sure:
			out.Junk++
		case n <= -sure:
			out.Ham++
		default:
			out.Unsure++
		}
		score(admin.JunkScore{Folder: folder, Message: message, Score: n})
		return nil
	})
	return out, err
}

// eachMessage calls fn for the messages of a folder, and tells those that cannot be read.
func (t training) eachMessage(ctx context.Context, place *files.Place, quoting string, fn func(folder, message string, s lessons.Sample) error) (failed int, failures []transfer.Failure, err error) {
	fail := func(folder, message, reason string) {
		if failed++; len(failures) < transfer.MaxFailures {
			failures = append(failures, transfer.Failure{Folder: folder, Message: message, Reason: reason})
		}
	}
	from, err := source(place, quoting)
	if err != nil {
		return 0, nil, err
	}
	folders, problems, err := from.Folders(ctx)
	if err != nil {
		return 0, nil, err
	}
	for _, p := range problems {
		fail(p.Folder, p.Message, p.Reason)
	}
	for _, f := range folders {
		if err := t.eachOf(ctx, from, f, fail, fn); err != nil {
			return failed, failures, err
		}
	}
	return failed, failures, nil
}

// source is what is at a place: a Maildir has a folder cur or new, anything else is mbox.
func source(place *files.Place, quoting string) (transfer.Source, error) {
	if dir, err := place.Open(); err == nil {
		is := dir.IsFolder("cur") || dir.IsFolder("new")
		if err := dir.Close(); err != nil {
			return nil, err
		}
		if is {
			return &transfer.Maildir{Root: place, Codec: folderNames()}, nil
		}
	}
	q, err := quotingNamed(quoting)
	return &transfer.Mbox{Places: []*files.Place{place}, Quoting: q}, err
}

// eachOf calls fn for the messages of one folder of a source.
func (t training) eachOf(ctx context.Context, from transfer.Source, f transfer.Folder, fail func(folder, message, reason string), fn func(folder, message string, s lessons.Sample) error) error {
	box, err := from.Open(ctx, f)
	if err != nil {
		fail(f.Source, "", err.Error())
		return nil
	}
	defer box.Close()
	list, err := box.Messages(ctx)
	if err != nil {
		fail(f.Source, "", err.Error())
		return nil
	}
	for _, p := range box.Problems() {
		fail(p.Folder, p.Message, p.Reason)
	}
	return box.Read(ctx, list, func(i int, read func(io.Writer) error) error {
		name := list[i].Where
		if name == "" {
			name = strconv.Itoa(i + 1)
		}
		var b bytes.Buffer
		if err := read(&bounded{&b, trainOctets}); err != nil {
			fail(f.Source, name, err.Error())
			return ctx.Err()
		}
		s, err := t.t.s.learning.lessons.Read(b.Bytes())
		if err != nil {
			fail(f.Source, name, err.Error())
			return nil
		}
		if err := fn(f.Source, name, s); err != nil {
			return err
		}
		return ctx.Err()
	})
}

// bounded is a Writer of so many octets at most.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, mail.Errorf(mail.TooLarge, "it is too large")
	}
	return b.w.Write(p)
}
