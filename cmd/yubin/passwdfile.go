package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// readPasswd reads a passwd-file of Dovecot, or a file of that form such as
// /etc/shadow: name:password:uid:gid:gecos:home:shell:extra fields. Of the extra
// fields, the quota is taken. Who has no password, or one that is locked, is told.
func readPasswd(in io.Reader, _ []column) (sheet, error) {
	lines, err := newSheetLines(in)
	if err != nil {
		return nil, err
	}
	return func() (record, error) {
		for {
			text, fault, err := lines.nextFilled()
			if err != nil {
				return record{}, err
			}
			if strings.HasPrefix(text, "#") {
				continue
			}
			r := record{line: lines.number, fault: fault}
			if fault == nil {
				r.cells, r.fault = passwdCells(text)
			}
			return r, nil
		}
	}, nil
}

func passwdCells(text string) (map[string][]string, error) {
	f := strings.SplitN(text, ":", 8)
	if len(f) < 2 {
		return nil, fmt.Errorf("is none of a passwd-file: it has no : between the name and the password")
	}
	cells := map[string][]string{"address": {f[0]}, "hash": {f[1]}}
	switch {
	case f[1] == "" || strings.HasPrefix(f[1], "{}") || strings.EqualFold(f[1], "{PLAIN}"):
		return nil, fmt.Errorf("has no password of %s", f[0])
	case strings.HasPrefix(f[1], "!") || strings.HasPrefix(f[1], "*"):
		return nil, fmt.Errorf("has a password of %s that is locked", f[0])
	}
	if len(f) < 8 {
		return cells, nil
	}
	for _, extra := range strings.Fields(f[7]) {
		name, value, _ := strings.Cut(extra, "=")
		if name = strings.TrimPrefix(name, "userdb_"); name == "quota_rule" {
			if err := quotaRule(cells, value); err != nil {
				return nil, err
			}
		}
	}
	return cells, nil
}

// dovecotUnits are the powers of two of its units of size.
var dovecotUnits = map[byte]int{'B': 0, 'K': 10, 'M': 20, 'G': 30, 'T': 40}

// quotaRule reads *:storage=1G:messages=1000 as Dovecot does: storage is in KiB unless
// a unit says otherwise, bytes in octets. Rules of single mailboxes are passed over.
func quotaRule(cells map[string][]string, rule string) error {
	mailbox, limits, _ := strings.Cut(rule, ":")
	if mailbox != "*" {
		return nil
	}
	for limit := range strings.SplitSeq(limits, ":") {
		name, value, _ := strings.Cut(limit, "=")
		number := strings.TrimRight(value, "bBkKmMgGtTiI")
		n, err := strconv.ParseUint(number, 10, 63)
		power := dovecotUnits[(strings.ToUpper(strings.TrimPrefix(value, number)) + "B")[0]]
		if name == "storage" && len(number) == len(value) {
			power = dovecotUnits['K']
		}
		if err != nil || n > math.MaxInt64>>power {
			return fmt.Errorf("has a quota rule that cannot be read: %s", rule)
		}
		switch {
		case n == 0 && name != "messages":
			cells["quota"] = []string{"none"}
		case n == 0:
			cells[name] = []string{"none"}
		case name == "messages":
			cells["messages"] = []string{number}
		case name == "storage" || name == "bytes":
			cells["quota"] = []string{strconv.FormatUint(n<<power, 10) + "B"}
		}
	}
	return nil
}
