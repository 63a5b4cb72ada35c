package directory

import (
	"context"
	"fmt"

	"yubin/internal/engine/password"
	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Check verifies every invariant of the rows, online, and reports each that
// does not hold. The error is one of reading.
func (d *Directory) Check(ctx context.Context, report func(problem string)) error {
	if err := d.checkReadable(ctx, report); err != nil {
		return err
	}
	return d.o.DB.Read(ctx, func(tx *sqldb.Tx) error {
		for _, c := range []struct{ problem, query string }{
			{"account without a local domain", `SELECT local_key, domain FROM directory_account
				WHERE domain NOT IN (SELECT name FROM directory_domain)`},
			{"alias without a local domain", `SELECT local_key, domain FROM directory_alias
				WHERE domain NOT IN (SELECT name FROM directory_domain)`},
			{"account and alias of one name", `SELECT a.local_key, a.domain FROM directory_account a
				JOIN directory_alias b ON b.domain = a.domain AND b.local_key = a.local_key`},
			{"alias of a domain that is not local, domain", `SELECT '', name FROM directory_domain
				WHERE alias_of <> '' AND alias_of NOT IN (SELECT name FROM directory_domain WHERE alias_of = '')`},
			{"catch-all of a domain that is an alias", `SELECT a.local_key, a.domain FROM directory_alias a
				JOIN directory_domain d ON d.name = a.domain AND d.alias_of <> '' WHERE a.local_key = ''`},
			{"account that sends on to nobody", `SELECT local_key, domain FROM directory_account a WHERE forwarding <> 0
				AND NOT EXISTS (SELECT 1 FROM directory_target t WHERE t.domain = a.domain AND t.local_key = a.local_key)`},
			{"account that would send on, and does not", `SELECT local_key, domain FROM directory_account a WHERE forwarding = 0
				AND EXISTS (SELECT 1 FROM directory_target t WHERE t.domain = a.domain AND t.local_key = a.local_key)`},
			{"quota that is none", `SELECT local_key, domain FROM directory_account WHERE quota_octets < -1 OR quota_messages < -1
				UNION ALL SELECT '', name FROM directory_domain WHERE quota_octets < -1 OR quota_messages < -1
				UNION ALL SELECT '', 'the site' FROM directory_site WHERE quota_octets < -1 OR quota_messages < -1 OR id <> 1`},
			{"targets of what does not exist", `SELECT DISTINCT t.local_key, t.domain FROM directory_target t
				LEFT JOIN directory_alias a ON a.domain = t.domain AND a.local_key = t.local_key
				LEFT JOIN directory_account b ON b.domain = t.domain AND b.local_key = t.local_key
				LEFT JOIN directory_group g ON t.domain = '' AND g.name = t.local_key
				WHERE a.domain IS NULL AND b.domain IS NULL AND g.name IS NULL`},
			{"target that is no group", `SELECT DISTINCT target_key, '' FROM directory_target
				WHERE target_domain = '' AND target_key NOT IN (SELECT name FROM directory_group)`},
			{"leave to write of an account that does not exist, as", `SELECT local_key, domain FROM directory_send_as
				WHERE account <> 0 AND account NOT IN (SELECT id FROM directory_account)`},
			{"leave to write of a group that does not exist, as", `SELECT local_key, domain FROM directory_send_as
				WHERE account = 0 AND grp NOT IN (SELECT name FROM directory_group)`},
			{"alias without targets", `SELECT a.local_key, a.domain FROM directory_alias a
				LEFT JOIN directory_target t ON t.domain = a.domain AND t.local_key = a.local_key WHERE t.domain IS NULL`},
			{"alias target that does not exist", `SELECT DISTINCT t.target_key, t.target_domain FROM directory_target t
				LEFT JOIN directory_alias b ON b.domain = t.target_domain AND b.local_key = t.target_key
				LEFT JOIN directory_account a ON a.domain = t.target_domain AND a.local_key = t.target_key
				WHERE a.domain IS NULL AND b.domain IS NULL AND t.target_domain IN (SELECT name FROM directory_domain)`},
		} {
			found, err := collect(tx, c.query)
			if err != nil {
				return err
			}
			for _, a := range found {
				report(fmt.Sprintf("directory: %s: %s", c.problem, NameOf(a)))
			}
		}
		if err := checkAliases(tx, report); err != nil {
			return err
		}
		if err := checkNetworks(tx, report); err != nil {
			return err
		}
		return checkSecrets(tx, report)
	})
}

// checkAliases follows all that leads elsewhere.
func checkAliases(tx *sqldb.Tx, report func(string)) error {
	names, err := collect(tx, `SELECT DISTINCT local_key, domain FROM directory_target`)
	if err != nil {
		return err
	}
	for _, n := range names {
		switch err := checkChains(tx, n); mail.KindOf(err) {
		case mail.Conflict, mail.TooLarge:
			report("directory: " + err.Error())
		default:
			if err != nil && sqldb.Why(err) == err { // Else checkReadable told of it.
				return err
			}
		}
	}
	return nil
}

// checkSecrets reads what is kept of every password.
func checkSecrets(tx *sqldb.Tx, report func(string)) error {
	rows, err := tx.Query(`SELECT local, domain, local_key, password, factors, scram, protocols, networks FROM directory_account`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var a mail.Address
		var key, hash, factors, scram, protocols, networks string
		if err := rows.Scan(&a.Local, &a.Domain, &key, &hash, &factors, &scram, &protocols, &networks); err != nil {
			return err
		}
		if key != a.Key().Local {
			report(fmt.Sprintf("directory: account %s is filed under %q", a, key))
		}
		if _, err := password.Parse(hash); hash != "" && err != nil {
			report(fmt.Sprintf("directory: account %s: the password hash cannot be read", a))
		}
		_, err1 := parseFactors(factors)
		_, err2 := parseScram(scram)
		if err1 != nil || err2 != nil {
			report(fmt.Sprintf("directory: account %s: what SCRAM needs cannot be read", a))
		}
		if _, err := parseScope(protocols, networks, 0); err != nil {
			report(fmt.Sprintf("directory: account %s: where its password counts cannot be read", a))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return checkApps(tx, report)
}

// checkApps verifies the app passwords, and what is known of the use of credentials.
func checkApps(tx *sqldb.Tx, report func(string)) error {
	rows, err := tx.Query(`SELECT p.account, p.number, COALESCE(a.credentials, 0), COALESCE(a.credential, 0) FROM directory_app_password p
		LEFT JOIN directory_account a ON a.id = p.account`)
	if err != nil {
		return err
	}
	defer rows.Close()
	accounts := map[mail.AccountID]bool{}
	for rows.Next() {
		var account mail.AccountID
		var number, most, own int
		if err := rows.Scan(&account, &number, &most, &own); err != nil {
			return err
		}
		switch accounts[account] = true; {
		case most == 0:
			report(fmt.Sprintf("directory: an app password of account %d, which does not exist", account))
		case number > most || number == own:
			report(fmt.Sprintf("directory: an app password of account %d has the number %d, which was not given to it", account, number))
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for account := range accounts {
		if _, err := readApps(tx, account); err != nil {
			report(fmt.Sprintf("directory: the app passwords of account %d cannot be read", account))
		}
	}
	lost, err := exists(tx, `SELECT 1 FROM directory_use u WHERE NOT EXISTS (SELECT 1 FROM directory_account a WHERE a.id = u.account AND a.credential = u.number)
		AND NOT EXISTS (SELECT 1 FROM directory_app_password p WHERE p.account = u.account AND p.number = u.number)`)
	if lost {
		report("directory: the use of a password that does not exist is noted")
	}
	if err != nil {
		return err
	}
	lost, err = exists(tx, `SELECT 1 FROM directory_second_factor WHERE account NOT IN (SELECT id FROM directory_account)
		UNION ALL SELECT 1 FROM directory_recovery_code WHERE account NOT IN (SELECT account FROM directory_second_factor)`)
	if lost {
		report("directory: a second factor, or a recovery code, of nobody")
	}
	return err
}
