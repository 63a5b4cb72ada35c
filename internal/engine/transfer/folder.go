package transfer

import (
	"context"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// folderRun is one folder being taken.
type folderRun struct {
	*run
	folder Folder
	from   Mailbox
	origin origin
	list   []Message

	teaches, junk bool // Plan.Train learns from it, and as what

	rows     map[string]taken  // by key
	others   map[mail.UID]bool // given by other origins
	validity mail.UIDValidity  // of the source
	aligned  bool              // messages have the UIDs of the source
	have     map[mail.BlobID][]mail.UID
	wanted   []Message
}

func (b *folderRun) take(ctx context.Context) error {
	for _, step := range []func(context.Context) error{b.prepare, b.sort, b.reflag, b.read, b.removeGone, b.number} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare brings the mailbox to the numbers of the source, if it can have them.
func (b *folderRun) prepare(ctx context.Context) (err error) {
	b.validity, _ = b.from.Numbering()
	var lost int
	if b.rows, b.others, lost, err = b.t.load(ctx, b.origin); err != nil {
		return err
	}
	if lost > 0 {
		b.report.note(fmt.Sprintf("%s: what was remembered of %d messages that were taken before cannot be read; they are taken as new ones, but for those of which the octets are here",
			b.folder.Source, lost))
	}
	if b.validity == 0 {
		return nil
	}
	b.aligned, err = b.t.store.AdoptNumbering(ctx, b.origin.mailbox, b.validity, 0)
	if err == nil && !b.aligned && len(b.rows) == 0 && len(b.list) > 0 {
		b.report.note(fmt.Sprintf("%s: UIDs are new, as the mailbox here had mail or its UIDVALIDITY is taken; mail programs fetch it again", b.folder.Source))
	}
	return err
}

// sort finds what is to be taken, and whether what was taken has the UIDs that
// the source has given it since.
func (b *folderRun) sort(ctx context.Context) error {
	if b.claimed[b.origin.mailbox] == nil {
		b.claimed[b.origin.mailbox] = new(mail.UIDSet)
	}
	claimed, fits := b.claimed[b.origin.mailbox], true
	for _, m := range b.list {
		row, there := b.rows[m.Key]
		switch {
		case there:
			b.report.There++
			claimed.Add(row.uid)
			fits = fits && (m.UID == 0 || m.UID == row.uid)
		case b.aligned && b.others[m.UID]:
			b.report.There++
			claimed.Add(m.UID)
		case b.plan.Running && b.validity != 0 && m.UID == 0:
			b.report.Waiting++
		default:
			b.wanted = append(b.wanted, m)
		}
	}
	if !fits && b.aligned {
		if err := b.misalign(ctx); err != nil {
			return err
		}
	}
	return b.collect(ctx, *claimed)
}

// collect finds octets that are in the mailbox and not known to be of a message
// that the source has.
func (b *folderRun) collect(ctx context.Context, claimed mail.UIDSet) error {
	m, err := b.t.store.MailboxByID(ctx, b.plan.Account, b.origin.mailbox)
	if err != nil || len(b.wanted) == 0 || m.Exists == 0 {
		return err
	}
	ids, err := b.t.store.BlobIDs(ctx, b.origin.mailbox)
	if err != nil {
		return err
	}
	view, err := b.t.store.View(ctx, b.origin.mailbox)
	if err != nil {
		return err
	}
	b.have = make(map[mail.BlobID][]mail.UID)
	for _, e := range view.All() { // Ascending.
		if id, ok := ids[e.UID]; ok && !claimed.Contains(e.UID) {
			b.have[id] = append(b.have[id], e.UID)
		}
	}
	return nil
}

// misalign gives up the numbers of the source.
func (b *folderRun) misalign(ctx context.Context) error {
	b.aligned = false
	b.report.note(fmt.Sprintf("%s: a message cannot have the UID that it has there; the mailbox gets a new UIDVALIDITY, and mail programs fetch it again", b.folder.Source))
	return b.t.store.NewNumbering(ctx, b.origin.mailbox)
}

// keywords makes a set of what can be a keyword here.
func (b *folderRun) keywords(m Message) (k mail.Keywords) {
	for _, name := range m.Keywords {
		more, err := k.With(name)
		if err != nil {
			b.report.note(fmt.Sprintf("%s %s: the keyword %.40q is left out: %v", b.folder.Source, m.Where, name, err))
			continue
		}
		k = more
	}
	return k
}

// ready is a message that was read, or why not.
type ready struct {
	Message
	at   int // in the batch
	in   *intake.Message
	fail error
}

// job is a batch on its way.
type job struct {
	batch []Message
	out   chan []ready
}

// read takes what is wanted: first what has UIDs, then, behind the last UID that
// the source knows, what has none.
func (b *folderRun) read(ctx context.Context) error {
	n := 0
	for n < len(b.wanted) && b.wanted[n].UID != 0 {
		n++
	}
	if err := b.readAll(ctx, b.wanted[:n]); err != nil || n == len(b.wanted) {
		return err
	}
	if err := b.number(ctx); err != nil {
		return err
	}
	return b.readAll(ctx, b.wanted[n:])
}

// readAll takes messages: batches are read at the same time and committed one
// after another, so that UIDs ascend.
func (b *folderRun) readAll(ctx context.Context, wanted []Message) error {
	g, ctx := errgroup.WithContext(ctx)
	workers := max(b.run.from.Parallel(), 1)
	jobs, order := make(chan job), make(chan job, workers+1)
	g.Go(func() error { return feed(ctx, wanted, jobs, order) })
	for range workers {
		g.Go(func() error {
			for j := range jobs {
				list, err := b.readBatch(ctx, j.batch)
				j.out <- list
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() (err error) {
		for j := range order {
			list := <-j.out
			if err == nil {
				err = b.commit(ctx, list)
			}
			for _, m := range list {
				m.in.Close()
			}
		}
		return err
	})
	return g.Wait()
}

// feed cuts wanted into jobs, for those who read and, in order, for who commits.
func feed(ctx context.Context, wanted []Message, jobs, order chan<- job) error {
	defer close(order)
	defer close(jobs)
	for rest := wanted; len(rest) > 0; {
		n := batchLen(rest)
		j := job{rest[:n], make(chan []ready, 1)}
		rest = rest[n:]
		for _, to := range []chan<- job{order, jobs} {
			select {
			case to <- j:
			case <-ctx.Done():
				close(j.out)
				return ctx.Err()
			}
		}
	}
	return nil
}

func batchLen(list []Message) int {
	n, octets := 0, int64(0)
	for n < len(list) && n < batchSize && (n == 0 || octets+list[n].Size <= batchOctets) {
		octets += list[n].Size
		n++
	}
	return n
}

// readBatch reads messages. An error is one that ends all.
func (b *folderRun) readBatch(ctx context.Context, batch []Message) (list []ready, err error) {
	err = b.from.Read(ctx, batch, func(i int, read func(io.Writer) error) error {
		m := ready{Message: batch[i], at: i, in: b.t.intake.Begin()}
		to := &sink{in: m.in, left: b.plan.MaxMessage}
		m.fail = read(to)
		list = append(list, m)
		switch {
		case to.err != nil:
			return to.err
		case m.fail == nil && m.in.Size() == 0:
			m.fail = mail.Errorf(mail.Invalid, "it is empty")
		case m.fail == nil:
			_, err := m.in.Finish()
			return err
		}
		list[len(list)-1] = m
		return ctx.Err()
	})
	slices.SortFunc(list, func(a, b ready) int { return a.at - b.at }) // A server may have another order.
	return list, err
}

// sink tells a failure to store, which ends all, from one to read.
type sink struct {
	in   *intake.Message
	left int64
	err  error
}

func (s *sink) Write(p []byte) (n int, err error) {
	if s.left -= int64(len(p)); s.left < 0 {
		return 0, mail.Errorf(mail.TooLarge, "it is too large")
	}
	n, s.err = s.in.Write(p)
	return n, s.err
}

// commit files messages, with their rows.
func (b *folderRun) commit(ctx context.Context, list []ready) error {
	var here, rows []taken
	var files []store.Imported
	for _, m := range list {
		if m.fail != nil {
			b.report.fail(b.folder.Source, m.Where, m.fail.Error())
			continue
		}
		row := taken{key: m.Key, flags: m.Flags, keywords: b.keywords(m.Message)}
		if row.uid = b.find(m); row.uid != 0 {
			here = append(here, row)
			continue
		}
		rows = append(rows, row)
		files = append(files, store.Imported{Incoming: m.in.Incoming, UID: m.UID, Flags: m.Flags, Keywords: row.keywords, Received: m.Received})
	}
	if err := b.t.write(ctx, b.origin, here); err != nil {
		return err
	}
	b.report.There += len(here)
	if err := b.file(ctx, files, rows); err != nil {
		return err
	}
	b.at.Messages += len(list)
	b.progress(b.at)
	return nil
}

// find returns the UID of a message with these octets that the mailbox has; 0 if
// there is none. Where UIDs are the source's, it must be that one.
func (b *folderRun) find(m ready) mail.UID {
	id := m.in.Blob()
	for i, uid := range b.have[id] {
		if !b.aligned || m.UID == 0 || m.UID == uid {
			b.have[id] = append(b.have[id][:i:i], b.have[id][i+1:]...)
			b.claimed[b.origin.mailbox].Add(uid)
			return uid
		}
	}
	return 0
}

func (b *folderRun) file(ctx context.Context, files []store.Imported, rows []taken) error {
	if len(files) == 0 {
		return nil
	}
	if !b.aligned {
		for i := range files {
			files[i].UID = 0
		}
	}
	filed, err := b.t.intake.Import(ctx, b.origin.mailbox, files, func(tx *sqldb.Tx, from int, filed []store.Filed) error {
		slice := rows[from : from+len(filed)]
		for i, f := range filed {
			slice[i].uid = f.UID
		}
		return b.origin.keep(tx, slice)
	})
	for i, f := range filed {
		b.claimed[b.origin.mailbox].Add(f.UID)
		b.report.Octets += files[i].Incoming.Size()
		b.at.Octets += files[i].Incoming.Size()
	}
	b.report.Taken += len(filed)
	if err := b.train(ctx, filed); err != nil {
		return err
	}
	if err != nil && mail.KindOf(err) == mail.Conflict && b.aligned {
		if err := b.misalign(ctx); err != nil {
			return err
		}
		return b.file(ctx, files[len(filed):], rows[len(filed):])
	}
	return err
}

// train has the Trainer learn from what was filed.
func (b *folderRun) train(ctx context.Context, filed []store.Filed) error {
	if b.plan.Train == nil || !b.teaches || len(filed) == 0 {
		return nil
	}
	emails := make([]mail.EmailID, len(filed))
	for i, f := range filed {
		emails[i] = f.Email
	}
	if err := b.plan.Train.Learn(ctx, b.plan.Account, emails, b.junk); err != nil {
		return err
	}
	b.report.Learned += len(emails)
	return nil
}

// number raises the next UID to the source's, so that none is given that a
// client may know.
func (b *folderRun) number(ctx context.Context) error {
	_, next := b.from.Numbering()
	if !b.aligned || next == 0 {
		return nil
	}
	_, err := b.t.store.AdoptNumbering(ctx, b.origin.mailbox, b.validity, next)
	return err
}
