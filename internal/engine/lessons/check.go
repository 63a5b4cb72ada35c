package lessons

import (
	"context"
	"errors"
	"fmt"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Check reports models that cannot be read, and lessons that their model does not count.
// Each model is checked on a snapshot of its own.
func (b *Book) Check(ctx context.Context, report func(problem string)) error {
	for id, more := Site, true; more; {
		account := id
		err := b.o.DB.Read(ctx, func(tx *sqldb.Tx) (err error) {
			if err = b.checkModel(tx, account, report); err != nil {
				return err
			}
			err = tx.QueryRow(`SELECT min(account) FROM (SELECT account FROM lesson_model UNION SELECT account FROM lesson_page
				UNION SELECT account FROM lesson) AS every WHERE account > $1 HAVING count(*) > 0`, int64(account)).Scan(&id)
			if more = err == nil; err == sqldb.ErrNoRows {
				err = nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkModel checks what there is of an account, or of the site.
func (b *Book) checkModel(tx *sqldb.Tx, account mail.AccountID, report func(string)) error {
	name := "the model of junk of the site"
	if account != Site {
		name = fmt.Sprintf("the model of junk of account %d", account)
	}
	m, err := readModel(tx, account)
	if bad := why(err); bad != nil {
		report(fmt.Sprintf("%s cannot be read: %v", name, bad))
		return nil
	}
	if err != nil {
		return err
	}
	var junk, ham, strange int64
	err = tx.QueryRow(`SELECT coalesce(sum(CASE junk WHEN 1 THEN 1 ELSE 0 END), 0), coalesce(sum(CASE junk WHEN 0 THEN 1 ELSE 0 END), 0),
		coalesce(sum(CASE WHEN junk IN (0, 1) THEN 0 ELSE 1 END), 0) FROM lesson WHERE account = $1`, int64(account)).Scan(&junk, &ham, &strange)
	if err != nil {
		return err
	}
	if m.junk < junk || m.ham < ham || strange > 0 {
		report(fmt.Sprintf("%s counts %d junk and %d not; there are lessons of %d and %d, and %d of neither", name, m.junk, m.ham, junk, ham, strange))
	}
	if b.o.Fresh == nil {
		return nil
	}
	pages, err := readPages(tx, account)
	if bad := why(err); bad != nil {
		report(fmt.Sprintf("%s cannot be read: %v", name, bad))
		return nil
	}
	if err != nil {
		return err
	}
	learner := b.o.Fresh()
	if err := learner.Load(account, pages); err != nil {
		report(fmt.Sprintf("%s cannot be read: %v", name, err))
	}
	if account != Site {
		return nil
	}
	return b.checkLog(tx, learner, m, report)
}

// checkLog checks what was done to the site's model since its pages were written.
func (b *Book) checkLog(tx *sqldb.Tx, learner Learner, m model, report func(string)) error {
	list, err := readLog(tx)
	if bad := why(err); bad != nil {
		report(fmt.Sprintf("the log of the site's model of junk cannot be read: %v", bad))
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := learner.Replay(e.octets, e.learned); err != nil {
			report(fmt.Sprintf("the log of the site's model of junk has what is no lesson: %v", err))
			break
		}
	}
	var last int64
	err = tx.QueryRow(`SELECT coalesce(max(version), 0) FROM lesson_log`).Scan(&last)
	if err == nil && last > m.version {
		report(fmt.Sprintf("the log of the site's model of junk is of version %d, the model of %d", last, m.version))
	}
	return err
}

// why is what is wrong with a row that cannot be read; nil of any other error.
func why(err error) error {
	if u := (*sqldb.Unreadable)(nil); errors.As(err, &u) {
		return u.Err
	}
	return nil
}
