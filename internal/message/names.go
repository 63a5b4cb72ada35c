package message

// names are the words that most structures are made of, all plain. Their order is part of
// the format of AppendForm: new ones go to the end, none ever moves.
var names = [...]string{
	"text", "plain", "html", "multipart", "mixed", "alternative", "related", "signed", "report", "digest",
	"message", "rfc822", "global", "delivery-status", "image", "png", "jpeg", "gif", "application", "octet-stream",
	"pdf", "pgp-signature", "pkcs7-signature", "zip", "audio", "video", "calendar", "charset", "utf-8", "us-ascii",
	"iso-8859-1", "windows-1252", "boundary", "name", "filename", "format", "flowed", "delsp", "yes", "no",
	"micalg", "protocol", "report-type", "type", "7bit", "8bit", "binary", "base64", "quoted-printable", "attachment",
	"inline", "size", "creation-date", "modification-date", "UTF-8", "US-ASCII", "ISO-8859-1", "iso-2022-jp", "ISO-2022-JP", "en",
	"en-US", "text/html", "text/plain", "encrypted", "pgp-encrypted", "x-zip-compressed", "msword", "x-unknown-content-type", "method", "REQUEST",
	"rfc822-headers", "disposition-notification", "partial", "external-body", "gb2312", "gb18030", "windows-1251", "koi8-r", "big5", "euc-kr",
	"vnd.openxmlformats-officedocument.wordprocessingml.document", "vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

// nameIndex is the place of each word in names.
var nameIndex = func() map[string]int {
	m := make(map[string]int, len(names))
	for i, n := range names {
		m[n] = i
	}
	return m
}()

// nameOctets are names as octets, and longestName is how many the longest has.
var nameOctets, longestName = func() (octets [len(names)][]byte, longest int) {
	for i, n := range names {
		octets[i], longest = []byte(n), max(longest, len(n))
	}
	return octets, longest
}()

// intern returns b as a string, without allocating for a word of names.
func intern(b []byte) string {
	if i, ok := nameIndex[string(b)]; ok {
		return names[i]
	}
	return string(b)
}
