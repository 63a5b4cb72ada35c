// Package extract reads what a message says, once and within bounds, for those
// who judge it: the decoded text, where its links lead, what its parts are
// by their names and by their octets, how its HTML is made, and its header's
// fields as they stand. It weighs nothing; it has no word of junk in it.
//
// It works on the structure that package message found (RFC 5322, 2045, 2046) and
// on random access to the octets, so it reads alike at the door and in the store, and
// leaves most of a large message unread. Transfer encodings and charsets are
// decoded by package message, the one reader of both. HTML is read as a stream of
// tags: no tree is built, no style sheet is followed, nothing is fetched, and
// scripts are not looked into.
//
// Invariants:
//   - Read never fails: what cannot be read or understood is missing in what it
//     returns, and Truncated says that there was more than is looked at.
//   - The same octets give the same Content, and all text in it is UTF-8. It may hold U+FFFD.
//   - Memory and time are bounded by the Max constants, whatever is sent:
//     under 50 ms of a processor and about a MiB.
package extract

// Limits on what is looked at. What lies beyond is as if it were not there.
const (
	MaxHeader  = 64 << 10  // octets of the message's header
	MaxFields  = 256       // fields of it
	MaxSubject = 1 << 10   // octets of the decoded subject
	MaxText    = 256 << 10 // octets of decoded text of all parts together, HTML with its tags
	MaxStart   = 96 << 10  // of one part, from its start
	MaxEnd     = 16 << 10  // of one part that is longer, to its end
	MaxLeaves  = 100       // parts without parts
	MaxDepth   = 20        // parts around a part
	MaxName    = 255       // octets of the name of a part, and of one in an archive
	MaxEntries = 64        // names in one archive
	MaxSniff   = 1 << 20   // octets of parts that are not text, all together
	MaxLinks   = 256       // links, in all parts
	MaxURL     = 1 << 10   // octets of one
	MaxShown   = 256       // octets of the text that a link shows
	MaxMarkup  = 256       // different entries of HTML.Markup
)

const (
	sniffStart = 8 << 10  // octets from the start of a part by which it is recognized
	sniffEnd   = 16 << 10 // and from the end of those that have a list of contents there
	wasteful   = 3        // octets of an encoding that are read for one decoded octet
)
