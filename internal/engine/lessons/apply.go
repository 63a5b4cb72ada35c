package lessons

import (
	"context"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// apply learns from messages or takes back what was learned, in one commit.
func (b *Book) apply(ctx context.Context, account mail.AccountID, list []item) error {
	if len(list) == 0 {
		return nil
	}
	b.writing.Lock()
	defer b.writing.Unlock()
	changed := false
	err := b.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		if changed { // It was undone, and models are as nobody has them.
			b.doubt(account)
		}
		changed = true
		return b.run(tx, account, list)
	})
	if err != nil && changed {
		b.doubt(account)
	}
	return err
}

// doubt has the models of an account read anew before they are believed.
func (b *Book) doubt(account mail.AccountID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range scopes(account) {
		b.models.forget(id)
	}
}

// run is the transaction of apply.
func (b *Book) run(tx *sqldb.Tx, account mail.AccountID, list []item) error {
	rows := make(map[mail.AccountID]*model)
	for _, id := range scopes(account) {
		tx.Lock(sqldb.Name, "lesson", int64(id))
	}
	for _, id := range scopes(account) {
		m, err := readModel(tx, id)
		if err != nil {
			return err
		}
		rows[id] = &m
		b.mu.RLock()
		known := b.models.has(id, m.version)
		b.mu.RUnlock()
		if !known {
			if err := b.load(tx, id, m.version); err != nil {
				return err
			}
		}
	}
	asked := make([]*sqldb.Answer, len(list))
	for i, it := range list {
		asked[i] = tx.Ask(`SELECT junk, site, octets FROM lesson WHERE account = $1 AND message = $2`, int64(account), it.key)
	}
	learned := make(map[string]*lesson, len(list))
	for i, it := range list {
		l := new(lesson)
		err := asked[i].Scan(&l.junk, &l.site, &l.octets)
		if err == sqldb.ErrNoRows {
			l, err = nil, nil
		}
		if err != nil {
			return err
		}
		learned[it.key] = l
	}
	if learned, err := b.change(tx, account, list, learned, rows); err != nil || !learned {
		return err
	}
	return trim(tx, account)
}

// change learns from messages, given what was learned from each, and writes what changed.
func (b *Book) change(tx *sqldb.Tx, account mail.AccountID, list []item, learned map[string]*lesson, rows map[mail.AccountID]*model) (any bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var log []logEntry
	now := b.o.Now().Unix()
	for _, it := range list {
		l, err := b.one(tx, account, it, learned[it.key], rows, now, &log)
		if err != nil {
			return any, err
		}
		any = any || l != learned[it.key]
		learned[it.key] = l
	}
	if !any {
		return false, nil
	}
	for _, p := range b.models.Dirty() {
		p.write(tx)
	}
	site := rows[Site]
	if writeLog(tx, site.version+1, log); (site.version+1)%pagesEvery == 0 {
		for _, p := range b.models.SitePages() {
			p.write(tx)
		}
		tx.Do(`DELETE FROM lesson_log`)
	}
	for id, m := range rows {
		m.version, m.at = m.version+1, now
		m.write(tx, id)
		b.models.is(id, m.version, b.o.Now())
	}
	return true, nil
}

// lesson is what was learned from a message.
type lesson struct {
	junk   bool
	site   bool // the site learned it as well
	octets []byte
}

// count counts a lesson in the models that learned it, or with -1 that they do not know it any more.
func (l *lesson) count(rows map[mail.AccountID]*model, n int64) {
	for id, m := range rows {
		if id != Site || l.site {
			m.count(l.junk, n)
		}
	}
}

// one learns from one message, or takes back what was; l is what was learned from it.
func (b *Book) one(tx *sqldb.Tx, account mail.AccountID, it item, l *lesson, rows map[mail.AccountID]*model, now int64, log *[]logEntry) (*lesson, error) {
	if l == nil && !it.learn || l != nil && it.learn && l.junk == it.junk {
		return l, nil
	}
	if l != nil {
		if err := b.models.Unlearn(account, l.octets); err != nil {
			return nil, &mail.Error{Kind: mail.Internal, Text: "what was learned from a message cannot be taken back", Err: err}
		}
		if l.site {
			*log = append(*log, logEntry{false, l.octets})
		}
		l.count(rows, -1)
	}
	if !it.learn || it.doubted && b.models.Score(account, it.features) > 0 == it.junk {
		if l != nil {
			tx.Do(`DELETE FROM lesson WHERE account = $1 AND message = $2`, int64(account), it.key)
		}
		return nil, nil
	}
	l = &lesson{junk: it.junk, site: account == Site || !it.byOwner || rows[account].teaches(now)}
	l.octets = b.models.Learn(account, it.features, it.junk, l.site)
	if l.site {
		*log = append(*log, logEntry{true, l.octets})
	}
	l.count(rows, 1)
	tx.Do(`INSERT INTO lesson (account, message, junk, site, at, octets) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (account, message) DO UPDATE SET junk = $3, site = $4, at = $5, octets = $6`,
		int64(account), it.key, number(l.junk), number(l.site), now, l.octets)
	return l, nil
}

// load reads a model into memory.
func (b *Book) load(tx *sqldb.Tx, id mail.AccountID, version int64) error {
	pages, err := readPages(tx, id)
	if err != nil {
		return err
	}
	var log []logEntry
	if id == Site {
		if log, err = readLog(tx); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	err = b.models.Load(id, pages)
	for _, e := range log {
		if err == nil {
			err = b.models.Replay(e.octets, e.learned)
		}
	}
	if err != nil {
		// What is left of it is not to be believed: it begins anew.
		b.o.Log.Error("a model cannot be read and begins anew", "account", int64(id), "err", err)
		if err := b.models.Load(id, nil); err != nil {
			return err
		}
	}
	b.models.is(id, version, b.o.Now())
	return nil
}

// refresh reads a model if it is not the one in memory.
func (b *Book) refresh(ctx context.Context, id mail.AccountID) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	return b.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		m, err := readModel(tx, id)
		if err != nil {
			return err
		}
		b.mu.Lock()
		if b.models.has(id, m.version) {
			b.models.is(id, m.version, b.o.Now())
			b.mu.Unlock()
			return nil
		}
		b.mu.Unlock()
		return b.load(tx, id, m.version)
	})
}
