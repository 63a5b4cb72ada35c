package imap

import (
	"time"

	"yubin/internal/mail"
)

// Command is one parsed command: Args holds a pointer to the type that belongs
// to Verb, or nil for a verb without arguments.
type Command struct {
	Tag  string
	Verb Verb
	UID  bool // the command had the UID prefix
	Args any
}

// The arguments of the commands that have some. Verbs without arguments
// (CAPABILITY, NOOP, LOGOUT, STARTTLS, CHECK, CLOSE, UNSELECT, EXPUNGE, IDLE,
// NAMESPACE) have Args nil. Mailbox names are as ParseMailbox read them: UTF-8,
// from modified UTF-7 unless the session is in UTF-8 mode, not yet checked by
// mail.ParseMailboxName (LIST patterns and reference names may be anything).
type (
	// Login is LOGIN.
	Login struct{ User, Password string }
	// Authenticate is AUTHENTICATE. Initial is nil without an initial
	// response, and empty but not nil for "=" (RFC 4959).
	Authenticate struct {
		Mechanism string // upper-case
		Initial   []byte // decoded from base64
	}
	// Enable is ENABLE.
	Enable struct{ Capabilities []string } // upper-case
	// IDParams is ID (RFC 2971). Nil fields for ID NIL.
	IDParams struct{ Fields map[string]string } // names in lower case; NIL values are ""
	// Select is SELECT and EXAMINE.
	Select struct {
		Mailbox  string
		ReadOnly bool // EXAMINE
	}
	// Create is CREATE, with the role of RFC 6154 §3.
	Create struct {
		Mailbox string
		Use     []string // special-use attributes asked for, "\Sent"
	}
	// Delete is DELETE.
	Delete struct{ Mailbox string }
	// Rename is RENAME.
	Rename struct{ From, To string }
	// Subscribe is SUBSCRIBE and UNSUBSCRIBE.
	Subscribe struct {
		Mailbox string
		On      bool
	}
	// List is LIST and LSUB in all their forms (RFC 9051 §6.3.9, RFC 5258, 5819).
	List struct {
		LSub      bool
		Extended  bool // selection options, several patterns or return options were given
		Select    ListSelect
		Reference string
		Patterns  []string
		Return    ListReturn
	}
	// ListSelect are the selection options of LIST.
	ListSelect struct{ Subscribed, Remote, RecursiveMatch, SpecialUse bool }
	// ListReturn are the return options of LIST.
	ListReturn struct {
		Subscribed, Children, SpecialUse bool
		Status                           []StatusItem // LIST-STATUS; nil without
	}
	// Status is STATUS.
	Status struct {
		Mailbox string
		Items   []StatusItem
	}
	// Append is APPEND. The message octets follow as a literal that the parser
	// does not read: see Reader.ReadCommand.
	Append struct {
		Mailbox string
		Flags   FlagList
		Date    time.Time // zero without one
		Literal Literal
		UTF8    bool // wrapped in UTF8 (...)
	}
	// Search is SEARCH and UID SEARCH.
	Search struct {
		Return  SearchReturn
		Charset string // as given; "" without
		Key     SearchKey
	}
	// Fetch is FETCH and UID FETCH.
	Fetch struct {
		Set   NumSet
		Items []FetchItem // each once, however often it was given
	}
	// Store is STORE and UID STORE.
	Store struct {
		Set    NumSet
		Mode   StoreMode
		Silent bool
		Flags  FlagList
	}
	// Copy is COPY, UID COPY, MOVE and UID MOVE.
	Copy struct {
		Set     NumSet
		Mailbox string
		Move    bool
	}
	// Expunge is UID EXPUNGE; plain EXPUNGE has Args nil.
	Expunge struct{ Set NumSet }
)

// FlagList is flags as a client gave them. Recent is \Recent, which no client
// may store; Unknown are other names with a backslash.
type FlagList struct {
	System   mail.Flags
	Keywords []string
	Recent   bool
	Unknown  []string
}

// StoreMode is FLAGS, +FLAGS or -FLAGS.
type StoreMode uint8

// The store modes.
const (
	StoreReplace StoreMode = iota
	StoreAdd
	StoreRemove
)

// Literal announces octets that follow the line.
type Literal struct {
	Size    int64
	NonSync bool // "{n+}": the client does not wait for a continuation
	Binary  bool // "~{n}" (RFC 3516)
}

// Num is a sequence number or UID; Star is "*".
type Num uint32

// Star is the largest number in use.
const Star Num = 0

// NumRange is first:last in the order given; either may be Star.
type NumRange struct{ First, Last Num }

// NumSet is a sequence-set (RFC 9051 §9). Saved is "$" (RFC 5182), and then
// Ranges is nil.
type NumSet struct {
	Ranges []NumRange
	Saved  bool
}

// StatusItem is one STATUS attribute, upper-case.
type StatusItem string

// The STATUS attributes.
const (
	StatusMessages    StatusItem = "MESSAGES"
	StatusRecent      StatusItem = "RECENT"
	StatusUIDNext     StatusItem = "UIDNEXT"
	StatusUIDValidity StatusItem = "UIDVALIDITY"
	StatusUnseen      StatusItem = "UNSEEN"
	StatusDeleted     StatusItem = "DELETED"
	StatusSize        StatusItem = "SIZE"
)

// SearchReturn are the result options of SEARCH (RFC 4731, RFC 5182). Extended
// is true when RETURN was given at all; RETURN () means ALL.
type SearchReturn struct{ Extended, Min, Max, All, Count, Save bool }

// SearchKey is a node of a search program (RFC 9051 §6.4.4).
type SearchKey struct {
	Op      SearchOp
	Keys    []SearchKey // And, Or (two or more, none of the same kind), Not (one, no Not)
	Set     NumSet      // Seq, UIDs
	Flag    mail.Flags  // HasFlag
	Keyword string      // HasKeyword
	Field   string      // Header: its name, as given
	Text    string      // Header, Body, Text: what to find, in UTF-8; "" matches any
	Date    time.Time   // date keys: the day at 00:00 UTC
	Size    int64       // Larger, Smaller
}

// SearchOp is the kind of a SearchKey.
type SearchOp uint8

// The search operators. ANSWERED, UNSEEN and their like are HasFlag under Not
// where needed.
const (
	SearchAll SearchOp = iota
	SearchAnd
	SearchOr
	SearchNot
	SearchSeq
	SearchUID
	SearchHasFlag
	SearchHasKeyword
	SearchRecent
	SearchNew // RECENT UNSEEN
	SearchHeader
	SearchEnvelope // FROM, TO, CC, BCC and SUBJECT: of Field in the envelope
	SearchBody
	SearchText
	SearchBefore // internal date
	SearchOn
	SearchSince
	SearchSentBefore // Date header field
	SearchSentOn
	SearchSentSince
	SearchLarger
	SearchSmaller
)

// FetchItem is one data item of FETCH. ALL, FAST and FULL are expanded.
type FetchItem struct {
	Kind    FetchKind
	Peek    bool     // .PEEK, or an item that never sets \Seen
	Section Section  // Body and Binary kinds
	Partial *Partial // nil for all
}

// FetchKind is the kind of a FetchItem.
type FetchKind uint8

// The fetch data items.
const (
	FetchFlags FetchKind = iota
	FetchUID
	FetchInternalDate
	FetchSize // RFC822.SIZE
	FetchEnvelope
	FetchBodyStructure
	FetchBodyStructureBasic // BODY without a section
	FetchBody               // BODY[section]
	FetchBinary
	FetchBinarySize
	FetchRFC822 // the three forms of RFC 3501
	FetchRFC822Header
	FetchRFC822Text
)

// Section names octets of a message (RFC 9051 §6.4.5.1): Path is the part
// numbers, empty for the message itself.
type Section struct {
	Path   []int
	Text   SectionText
	Fields []string // HeaderFields, HeaderFieldsNot: the names, as given
}

// SectionText is what of the part is meant.
type SectionText uint8

// The section texts.
const (
	SectionAll SectionText = iota // BODY[] or BODY[1.2]
	SectionHeader
	SectionHeaderFields
	SectionHeaderFieldsNot
	SectionBodyText // TEXT
	SectionMIME
)

// Partial is <origin.count>.
type Partial struct{ Offset, Count uint32 }
