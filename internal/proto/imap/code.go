package imap

import (
	"strconv"
	"strings"

	"yubin/internal/mail"
)

// Code is a response code without its brackets (RFC 9051 §7.1). "" is none.
type Code string

// The response codes without arguments: RFC 9051 §7.1 and RFC 5530, TOOBIG of
// RFC 4469, USEATTR of RFC 6154, NOTSAVED of RFC 5182, UNKNOWN-CTE of RFC 3516.
const (
	CodeAlert                Code = "ALERT"
	CodeAlreadyExists        Code = "ALREADYEXISTS"
	CodeAuthenticationFailed Code = "AUTHENTICATIONFAILED"
	CodeAuthorizationFailed  Code = "AUTHORIZATIONFAILED"
	CodeCannot               Code = "CANNOT"
	CodeClientBug            Code = "CLIENTBUG"
	CodeClosed               Code = "CLOSED"
	CodeContactAdmin         Code = "CONTACTADMIN"
	CodeCorruption           Code = "CORRUPTION"
	CodeExpired              Code = "EXPIRED"
	CodeExpungeIssued        Code = "EXPUNGEISSUED"
	CodeHasChildren          Code = "HASCHILDREN"
	CodeInUse                Code = "INUSE"
	CodeLimit                Code = "LIMIT"
	CodeNonExistent          Code = "NONEXISTENT"
	CodeNoPerm               Code = "NOPERM"
	CodeNotSaved             Code = "NOTSAVED"
	CodeOverQuota            Code = "OVERQUOTA"
	CodeParse                Code = "PARSE"
	CodePrivacyRequired      Code = "PRIVACYREQUIRED"
	CodeReadOnly             Code = "READ-ONLY"
	CodeReadWrite            Code = "READ-WRITE"
	CodeServerBug            Code = "SERVERBUG"
	CodeTooBig               Code = "TOOBIG"
	CodeTryCreate            Code = "TRYCREATE"
	CodeUIDNotSticky         Code = "UIDNOTSTICKY"
	CodeUnavailable          Code = "UNAVAILABLE"
	CodeUnknownCTE           Code = "UNKNOWN-CTE"
	CodeUseAttr              Code = "USEATTR"
)

// CodeUIDNext is UIDNEXT.
func CodeUIDNext(u mail.UID) Code { return numberCode("UIDNEXT", uint64(u)) }

// CodeUIDValidity is UIDVALIDITY.
func CodeUIDValidity(v mail.UIDValidity) Code { return numberCode("UIDVALIDITY", uint64(v)) }

// CodeUnseen is UNSEEN of RFC 3501: the first message without \Seen.
func CodeUnseen(n mail.SeqNum) Code { return numberCode("UNSEEN", uint64(n)) }

func numberCode(name string, n uint64) Code {
	return Code(name + " " + strconv.FormatUint(n, 10))
}

// CodeAppendUID is APPENDUID (RFC 4315 §3).
func CodeAppendUID(v mail.UIDValidity, u mail.UID) Code {
	return numberCode("APPENDUID", uint64(v)) + Code(" "+strconv.FormatUint(uint64(u), 10))
}

// CodeCopyUID is COPYUID (RFC 4315 §3): source and dest are as long as each
// other, pair by pair, and not empty.
func CodeCopyUID(v mail.UIDValidity, source, dest []mail.UID) Code {
	b := strconv.AppendUint([]byte("COPYUID "), uint64(v), 10)
	b = appendUIDs(append(b, ' '), source)
	b = appendUIDs(append(b, ' '), dest)
	return Code(b)
}

// appendUIDs appends a uid-set in the order of uids, ascending runs as ranges.
func appendUIDs(dst []byte, uids []mail.UID) []byte {
	var set rangeWriter
	for _, u := range uids {
		dst = set.add(dst, uint32(u))
	}
	return set.close(dst)
}

// CodePermanentFlags is PERMANENTFLAGS; names come with their backslash, `\*`
// for keywords that a client may create.
func CodePermanentFlags(names ...string) Code {
	return Code("PERMANENTFLAGS (" + strings.Join(names, " ") + ")")
}

// CodeCapability is CAPABILITY.
func CodeCapability(names ...string) Code {
	return Code("CAPABILITY " + strings.Join(names, " "))
}

// CodeBadCharset is BADCHARSET with the charsets that are known, quoted.
func CodeBadCharset(known ...string) Code {
	if len(known) == 0 {
		return "BADCHARSET"
	}
	return Code(`BADCHARSET ("` + strings.Join(known, `" "`) + `")`)
}

// rangeWriter writes numbers as the sequence-set they make, in their order.
// The zero value is ready.
type rangeWriter struct {
	first, last uint32
	more        bool
}

// add takes n, appending to dst what is complete.
func (w *rangeWriter) add(dst []byte, n uint32) []byte {
	if w.first != 0 && n == w.last+1 {
		w.last = n
		return dst
	}
	dst = w.close(dst)
	w.first, w.last = n, n
	return dst
}

// close appends the range that was still open.
func (w *rangeWriter) close(dst []byte) []byte {
	if w.first == 0 {
		return dst
	}
	if w.more {
		dst = append(dst, ',')
	}
	dst = strconv.AppendUint(dst, uint64(w.first), 10)
	if w.last > w.first {
		dst = strconv.AppendUint(append(dst, ':'), uint64(w.last), 10)
	}
	w.first, w.more = 0, true
	return dst
}
