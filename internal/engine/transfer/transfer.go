package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"yubin/internal/engine/intake"
	"yubin/internal/engine/store"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Transfer imports and exports. Safe for concurrent use, but for one account one
// import at a time.
type Transfer struct {
	db     *sqldb.DB
	store  *store.Store
	intake *intake.Intake
}

// Open prepares the tables.
func Open(ctx context.Context, db *sqldb.DB, s *store.Store, in *intake.Intake) (*Transfer, error) {
	if err := db.Migrate(ctx, "transfer", schema()); err != nil {
		return nil, err
	}
	return &Transfer{db, s, in}, nil
}

// Import takes what is new at a source. If it fails, the report tells how far
// it came; what it tells as failed did not stop it.
func (t *Transfer) Import(ctx context.Context, from Source, p Plan, progress func(Progress)) (Report, error) {
	r := &run{t: t, from: from, plan: p, progress: progress, renamed: make(map[string]mail.MailboxName),
		claimed: make(map[mail.MailboxID]*mail.UIDSet)}
	if p.MaxMessage == 0 {
		r.plan.MaxMessage = MaxMessage
	}
	err := r.all(ctx)
	return r.report, err
}

// run is one Import.
type run struct {
	t        *Transfer
	from     Source
	plan     Plan
	progress func(Progress)
	at       Progress
	report   Report
	renamed  map[string]mail.MailboxName     // folders that went elsewhere, by their levels
	claimed  map[mail.MailboxID]*mail.UIDSet // what is known to be of a message of the source
}

func (r *run) all(ctx context.Context) error {
	if !r.plan.DryRun {
		if err := r.t.sweep(ctx, r.plan.Account); err != nil {
			return err
		}
	}
	folders, problems, err := r.from.Folders(ctx)
	if err != nil {
		return err
	}
	for _, p := range problems {
		r.report.fail(p.Folder, p.Message, p.Reason)
	}
	assignRoles(folders)
	folders = slices.DeleteFunc(folders, func(f Folder) bool { return slices.Contains(r.plan.Skip, f.Source) })
	r.at.Of = len(folders)
	for _, f := range folders {
		r.at.Folder = f.Source
		if err := r.folder(ctx, f); err != nil {
			return err
		}
		r.at.Folders++
		r.report.Folders++
		r.progress(r.at)
	}
	return nil
}

// folder takes one folder. What is wrong with the folder itself is reported and
// does not stop the others.
func (r *run) folder(ctx context.Context, f Folder) error {
	from, err := r.from.Open(ctx, f)
	if skippable(err) {
		r.report.fail(f.Source, "", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	defer from.Close()
	list, err := from.Messages(ctx)
	if skippable(err) {
		r.report.fail(f.Source, "", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range from.Problems() {
		r.report.fail(p.Folder, p.Message, p.Reason)
	}
	if r.plan.DryRun {
		err := r.try(ctx, f, list)
		if skippable(err) {
			r.report.fail(f.Source, "", err.Error())
			return nil
		}
		return err
	}
	o, role, err := r.target(ctx, f)
	if skippable(err) {
		r.report.fail(f.Source, "", err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	b := &folderRun{run: r, folder: f, from: from, origin: o, list: list, teaches: true}
	switch role {
	case mail.RoleJunk:
		b.junk = true
	case mail.RoleTrash, mail.RoleDrafts, mail.RoleSent:
		b.teaches = false
	}
	if err = b.take(ctx); err != nil && mail.KindOf(err) == mail.NotFound { // The mailbox, or the account, went away meanwhile.
		r.report.fail(f.Source, "", "it was cut short: "+err.Error())
		return nil
	}
	return err
}

// try counts what would be taken of a folder, and says where it would go. Messages whose
// octets the mailbox has from elsewhere count as if they were taken.
func (r *run) try(ctx context.Context, f Folder, list []Message) error {
	o, err := r.t.findOrigin(ctx, r.plan.Account, r.from.Kind(), f.Origin)
	if err != nil {
		return err
	}
	var m store.Mailbox
	b := &folderRun{run: r, folder: f, origin: o, list: list}
	if o.id != 0 {
		if b.rows, b.others, _, err = r.t.load(ctx, o); err == nil {
			m, err = r.t.store.MailboxByID(ctx, r.plan.Account, o.mailbox)
		}
	} else {
		m, err = r.meant(ctx, f)
	}
	if err != nil && (mail.KindOf(err) != mail.NotFound || m.Name == "") {
		return err
	}
	if plain, err := nameOf(f.Levels); err == nil && plain != m.Name {
		r.renamed[strings.Join(f.Levels, "\x00")] = m.Name
	}
	wanted := 0
	for _, one := range list {
		if _, there := b.rows[one.Key]; there {
			r.report.There++
			continue
		}
		wanted++
		r.report.Octets += one.Size
	}
	r.report.Taken += wanted
	r.report.note(fmt.Sprintf("%s: %d would go to %s", f.Source, wanted, m.Name))
	return nil
}

// skippable reports whether err is about one folder.
func skippable(err error) bool {
	if err == nil {
		return false
	}
	switch mail.KindOf(err) {
	case mail.Invalid, mail.NotFound, mail.Forbidden, mail.TooLarge, mail.Exists, mail.Conflict:
		return true
	}
	return false
}

// target finds the mailbox that a folder goes to, with its role, or makes it.
func (r *run) target(ctx context.Context, f Folder) (o origin, role mail.Role, err error) {
	o, err = r.t.findOrigin(ctx, r.plan.Account, r.from.Kind(), f.Origin)
	if err != nil {
		return o, role, err
	}
	if o.id == 0 {
		m, err := r.mailbox(ctx, f)
		if err != nil {
			return o, role, err
		}
		o, err = r.t.addOrigin(ctx, r.plan.Account, r.from.Kind(), f.Origin, m.ID)
		if err != nil {
			return o, role, err
		}
	}
	m, err := r.t.store.MailboxByID(ctx, r.plan.Account, o.mailbox)
	if err != nil {
		return o, role, err
	}
	role = m.Role
	if plain, err := nameOf(f.Levels); err == nil && plain != m.Name {
		r.renamed[strings.Join(f.Levels, "\x00")] = m.Name
	}
	if f.Subscribed && !m.Subscribed {
		err = r.t.store.Subscribe(ctx, r.plan.Account, m.Name, true)
	}
	return o, role, err
}

// mailbox is where a folder goes that was not taken from before: where the plan
// says; to the mailbox of its role; below what its parent became; or by its name.
func (r *run) mailbox(ctx context.Context, f Folder) (store.Mailbox, error) {
	s, account := r.t.store, r.plan.Account
	m, err := r.meant(ctx, f)
	if err == nil || mail.KindOf(err) != mail.NotFound || m.Name == "" {
		return m, err
	}
	name, role := m.Name, f.Role
	if role == mail.RoleInbox {
		role = ""
	}
	m, err = s.CreateMailbox(ctx, account, name, role)
	if err != nil && mail.KindOf(err) == mail.Conflict {
		m, err = s.CreateMailbox(ctx, account, name, "")
	}
	return m, err
}

// meant is the mailbox that a folder goes to; NotFound, with its name, if it is to be made.
func (r *run) meant(ctx context.Context, f Folder) (store.Mailbox, error) {
	s, account := r.t.store, r.plan.Account
	name, ok := r.plan.Rename[f.Source]
	if !ok && f.Role != "" {
		m, err := s.MailboxByRole(ctx, account, f.Role)
		if mail.KindOf(err) != mail.NotFound || err == nil {
			if err == nil && string(m.Name) != strings.Join(f.Levels, mail.MailboxSeparator) {
				r.report.note(fmt.Sprintf("%s goes to %s", f.Source, m.Name))
			}
			return m, err
		}
	}
	if !ok {
		var err error
		if name, err = r.below(f.Levels); err != nil {
			return store.Mailbox{}, err
		}
	}
	m, err := s.Mailbox(ctx, account, name)
	if mail.KindOf(err) == mail.NotFound {
		m.Name = name
	}
	return m, err
}

// below names a mailbox; a parent that has another name here has it in the name
// too.
func (r *run) below(levels []string) (mail.MailboxName, error) {
	for n := len(levels) - 1; n > 0; n-- {
		if above, ok := r.renamed[strings.Join(levels[:n], "\x00")]; ok {
			rest, err := nameOf(levels[n:])
			if err != nil {
				return "", err
			}
			return mail.ParseMailboxName(string(above) + mail.MailboxSeparator + string(rest))
		}
	}
	return nameOf(levels)
}
