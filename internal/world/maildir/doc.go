// Package maildir reads and writes mail as files: Maildir, Maildir++ (folders
// beside each other, named ".Work.Plans") and folders in folders (Dovecot's
// LAYOUT=fs), with what Dovecot keeps beside the messages: UIDs and UIDVALIDITY
// (dovecot-uidlist, versions 1 and 3), keywords (dovecot-keywords) and
// subscriptions. File names carry the flags (https://cr.yp.to/proto/maildir.html).
//
// Who owns a Maildir may be anybody, so all work goes through files.Folder: links
// are not followed, a message is a regular file of the folder's owner, and what
// is written never replaces what a Writer did not write.
//
// Reading changes nothing in the folder, not even new/. A message that is
// renamed while it is read, because a mail program set a flag, is found again.
//
// Files hold lines that end in LF; Reader gives them CRLF and leaves those that
// have it. Message sizes in file names (S=, W=) are hints and are not believed.
//
// Names of folders are in modified UTF-7 or UTF-8; who calls says how to read and
// write them.
package maildir

// Limits of what is read.
const (
	MaxFolders     = 10_000   // of one Maildir
	MaxDepth       = 32       // of folders in folders
	MaxListLine    = 16 << 10 // octets of a line of dovecot-uidlist and other lists
	MaxListFile    = 16 << 20 // octets of such a list; of dovecot-uidlist there is no bound but its folder's
	MaxKeywordName = 1 << 10  // octets
	MaxKeywords    = 26       // a file name has a letter for each
)

// Names of files beside the messages.
const (
	uidListFile      = "dovecot-uidlist"
	keywordsFile     = "dovecot-keywords"
	subscriptionFile = "subscriptions"
	folderMark       = "maildirfolder"
	exportMark       = ".yubin-export" // of a Maildir that a Writer made
)

// Problem is what could not be read, and why. It stopped nothing else.
type Problem struct{ Path, Reason string }

// Codec reads and writes the names of folders.
type Codec struct {
	Decode func([]byte) (string, bool)
	Encode func(string) string
}
