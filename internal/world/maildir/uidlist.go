package maildir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// UIDList is a dovecot-uidlist: how the messages of a folder are numbered.
type UIDList struct {
	UIDValidity mail.UIDValidity // 0: the folder has no numbers
	UIDNext     mail.UID
	UIDs        map[string]mail.UID // by what never changes of the file's name
}

// errList says that a list is not what it should be.
func errList(format string, args ...any) error {
	return mail.Errorf(mail.Invalid, "the %s cannot be read: %w", uidListFile, fmt.Errorf(format, args...))
}

// ParseUIDList reads a dovecot-uidlist of version 1 or 3. Lines that say nothing
// of use are skipped, as Dovecot does; a head line that cannot be read is an
// error of kind Invalid.
func ParseUIDList(r io.Reader) (l UIDList, err error) {
	in := bufio.NewReaderSize(r, MaxListLine)
	l.UIDs = make(map[string]mail.UID)
	head, err := listLine(in)
	if err != nil {
		return l, errList("it has no head line")
	}
	if err := l.head(head); err != nil {
		return l, err
	}
	for {
		line, err := listLine(in)
		if err == io.EOF {
			return l, nil
		}
		if err != nil {
			return l, errList("%w", err)
		}
		if uid, base, ok := uidLine(line); ok {
			l.UIDs[base] = uid
			l.UIDNext = max(l.UIDNext, uid+1)
		}
	}
}

var errLongLine = errors.New("a line is too long")

// listLine reads a line; the last one needs no end.
func listLine(in *bufio.Reader) (string, error) {
	b, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errLongLine
	}
	if err == io.EOF && len(b) > 0 {
		err = nil
	}
	return strings.TrimRight(string(b), "\r\n"), err
}

// head reads "3 V1275660208 N25022 G3085f..." or "1 1275660208 25022".
func (l *UIDList) head(line string) error {
	version, rest, _ := strings.Cut(line, " ")
	fields := strings.Fields(rest)
	if version == "1" {
		if len(fields) < 2 {
			return errList("its head line is %.40q", line)
		}
		fields = []string{"V" + fields[0], "N" + fields[1]}
	} else if version != "3" {
		return errList("its version is not known: %.40q", line)
	}
	for _, f := range fields {
		n, err := strconv.ParseUint(f[1:], 10, 32)
		switch {
		case f[0] != 'V' && f[0] != 'N':
		case err != nil:
			return errList("its head line is %.40q", line)
		case f[0] == 'V':
			l.UIDValidity = mail.UIDValidity(n)
		default:
			l.UIDNext = mail.UID(n)
		}
	}
	if l.UIDValidity == 0 {
		return errList("it has no UIDVALIDITY")
	}
	return nil
}

// uidLine reads "25006 W1394 :1276528487.M364837,S=1355:2,S" of version 3, and
// "25006 1276528487.M364837" of version 1.
func uidLine(line string) (mail.UID, string, bool) {
	number, rest, ok := strings.Cut(line, " ")
	n, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil || n == 0 || n == 1<<32-1 {
		return 0, "", false
	}
	if i := strings.IndexByte(rest, ':'); i == 0 {
		rest = rest[1:]
	} else if j := strings.Index(rest, " :"); j >= 0 {
		rest = rest[j+2:]
	}
	base, _ := splitName(rest)
	return mail.UID(n), base, base != ""
}
