// Package lending has a command do with files what a server needs done, so that a
// server works on the files of who called it: with the rights of that user, and where
// that user sees them, whatever the server itself may do and see.
//
// The two share a Unix socket. The command names places when it lends them (Lend); the
// server asks for things below them (Borrow gives a files.Place for each), and the
// command does what it is asked for and hands over the files it opened (SCM_RIGHTS), so
// that octets are read and written by the server itself. What the server writes beside
// (Borrower.Write) reaches who called Lend.
//
// # Who trusts whom
//
// The command gives nothing but what is below the places that it named, and changes
// nothing below those that it named to be read: package files, with os.Root, is what
// does the work, in the command's process. The server takes nothing but regular files,
// and none that it works with itself (files.Adopt).
//
// # On the wire
//
// Frames: a kind, the length of what follows in 4 octets, big-endian, and that. First the
// command sends its places, and an empty frame of the kind 'g'; then only the server asks,
// and the command answers, one question at a time.
//
//	from     kind  content
//	command  'p'   paths of places, for people
//	command  'g'   nothing: that was all
//	server   'o'   octets for who called Lend
//	server   'a'   the number of a place or folder, then what is to be done there
//	server   'c'   the number of a folder that is not needed any more
//	command  'r'   an answer to each thing; files come with the first octet of the frame
//	command  'm'   names of a folder; more of them follow, and 'r' at the end
//
// Numbers are varints, texts octets behind their length. It is for two processes of the
// same program: Protocol changes whenever this does.
package lending

import "time"

// Protocol is the name of what is spoken, for who offers it by name.
const Protocol = "yubin-files-1"

// Limits of either side.
const (
	MaxPlaces     = 10_000          // that a command lends
	MaxFolders    = 64              // that a server has open at a time
	MaxName       = 4096            // octets of a name or path
	maxAsks       = 64              // in one frame
	maxFrame      = 1 << 20         // octets
	maxOctets     = 32 << 10        // of a frame 'o'
	AnswerTimeout = 5 * time.Minute // for the other side to do its part
)

// Kinds of frames.
const (
	kindPlaces = 'p'
	kindGo     = 'g'
	kindOctets = 'o'
	kindAsk    = 'a'
	kindClose  = 'c'
	kindAnswer = 'r'
	kindNames  = 'm'
)
