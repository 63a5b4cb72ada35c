package directory

import (
	"strings"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Need is an address that something outside of the directory sends mail to.
type Need struct {
	By      string // what needs it: "copy journal"
	Address mail.Address
}

// checkNotNeeded checks that nothing needs a, which goes: by that name, with a
// subaddress, or in a domain that is another name of its own. Errors: Conflict.
func (d *Directory) checkNotNeeded(tx *sqldb.Tx, a mail.Address) error {
	return d.eachNeed(tx, func(n Need) (bool, error) {
		gone, key := a.Key(), n.Address.Key()
		if key == gone {
			return true, nil
		}
		own, err := lookup(tx, key)
		if err != nil || len(own) > 0 {
			return false, err // It is somebody's own.
		}
		if key.Domain != gone.Domain {
			found, err := readDomain(tx, key.Domain)
			if mail.KindOf(err) == mail.NotFound || err == nil && found.AliasOf == "" {
				return false, nil
			} else if err != nil {
				return false, err
			}
			key.Domain = found.AliasOf
		}
		if key == gone {
			return true, nil
		}
		key.Local, _, _ = strings.Cut(key.Local, separator)
		return key == gone, nil
	})
}

// checkDomainNotNeeded checks that nothing needs an address of a domain that goes.
func (d *Directory) checkDomainNotNeeded(tx *sqldb.Tx, name mail.Domain) error {
	return d.eachNeed(tx, func(n Need) (bool, error) { return n.Address.Key().Domain == name, nil })
}

func (d *Directory) eachNeed(tx *sqldb.Tx, is func(Need) (bool, error)) error {
	if d.o.Needed == nil {
		return nil
	}
	needs, err := d.o.Needed(tx)
	if err != nil {
		return err
	}
	for _, n := range needs {
		needed, err := is(n)
		if err == nil && needed {
			err = mail.Errorf(mail.Conflict, "%s goes to %s; change or remove that first", n.By, n.Address)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
