package store

import "yubin/internal/world/sqldb"

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "store", Steps: schema()} }

// schema are the steps of sqldb.Migrate.
//
// Beyond design: form and preview stand in blob and not in email, because they
// follow from the octets alone: twenty recipients share one wide row, and email
// becomes narrow. membership repeats blob, size and received, so that flags,
// sizes, dates, envelopes and structures are read without visiting email; and
// it has a row for some dozens of messages, so that a mailbox is opened, all its
// flags are changed, or thousands of messages are moved with that many times
// fewer rows read and written, while an arrival still writes one page of it.
// Counters are in tally, account and mailboxes side by side on one page. An
// email has where it came; nearly all stay there, and email_index has the others.
func schema() []string { return []string{tables} }

const tables = `
CREATE TABLE tally (
	account {int} NOT NULL,
	mailbox {int} NOT NULL, -- 0 is the account itself: totals of its mailboxes
	modseq {int} NOT NULL,
	uidvalidity {int} NOT NULL, -- of the account: the last one given
	uidnext {int} NOT NULL,
	recent {int} NOT NULL, -- UIDs from here on are not announced as \Recent yet
	messages {int} NOT NULL,
	unseen {int} NOT NULL,
	deleted {int} NOT NULL,
	size {int} NOT NULL,
	full_since {int} NOT NULL DEFAULT 0, -- of the account: when it began to refuse mail, in seconds; 0 if it has room
	warned {int} NOT NULL DEFAULT 0, -- of the account: percent of the quota that was last warned of
	changes {blob}, -- of the account: the latest, see changes.go
	PRIMARY KEY (account, mailbox)
) {clustered};

-- Accounts whose owner is to be warned that they fill up.
CREATE TABLE warning (
	account {int} NOT NULL PRIMARY KEY,
	percent {int} NOT NULL
);

CREATE TABLE mailbox (
	id {id},
	account {int} NOT NULL,
	parent {int} NOT NULL, -- 0 at the top
	label {text} NOT NULL,
	role {text} NOT NULL
);
CREATE UNIQUE INDEX mailbox_name ON mailbox (account, parent, label);
CREATE UNIQUE INDEX mailbox_role ON mailbox (account, role) WHERE role <> '';

-- The last UIDVALIDITY that a name had which a mailbox left; with below what every
-- name below it may have had too, of the name '' what any name may have had.
CREATE TABLE retired (
	account {int} NOT NULL,
	name {text} NOT NULL,
	uidvalidity {int} NOT NULL,
	below {int} NOT NULL, -- 1: of names below it as well
	PRIMARY KEY (account, name)
) {clustered};

-- What is known of the names of an account, so that nothing looks at all of them.
CREATE TABLE naming (
	account {int} NOT NULL PRIMARY KEY,
	changed {int} NOT NULL, -- ModSeq of the last change of a mailbox's name or UIDVALIDITY
	mailboxes {int} NOT NULL, -- rows of that table
	subscribed {int} NOT NULL, -- rows of subscription
	retired {int} NOT NULL -- rows of that table
);

CREATE TABLE subscription (
	account {int} NOT NULL,
	name {text} NOT NULL,
	PRIMARY KEY (account, name)
) {clustered};

-- The messages of a mailbox, a bundle of neighbours in each row; see bundle.go.
CREATE TABLE membership (
	place {int} NOT NULL PRIMARY KEY, -- mailbox and UID: no message in it has a lower one
	entries {blob} NOT NULL
);

-- The keywords of a mailbox. A number can get another name when no message of
-- the mailbox has it, and none that can be restored.
CREATE TABLE keyword (
	mailbox {int} NOT NULL,
	number {int} NOT NULL,
	name {text} NOT NULL,
	PRIMARY KEY (mailbox, number)
) {clustered};

CREATE TABLE email (
	id {id},
	account {int} NOT NULL,
	blob {int} NOT NULL,
	thread {int} NOT NULL, -- 0 is its own id
	mailbox {int} NOT NULL, -- where it came; if it was ever copied or moved, email_index says where it is
	uid {int} NOT NULL, -- there
	received {int} NOT NULL,
	zone {int} NOT NULL,
	size {int} NOT NULL,
	ascii {int} NOT NULL, -- octets in lines of what stands for it in ASCII (message.Surrogate), prefix too; -1 if that is itself
	prefix {blob} -- goes before the octets; NULL is none
);
CREATE INDEX email_thread ON email (thread) WHERE thread <> 0;

-- Two indexes of an account's emails, packed: those in a mailbox by when they came,
-- and of those that were copied or moved where they are; see index.go.
CREATE TABLE email_index (
	account {int} NOT NULL,
	kind {int} NOT NULL,
	first {int} NOT NULL, -- up to which point those in entries go down
	second {int} NOT NULL,
	third {int} NOT NULL,
	entries {blob} NOT NULL,
	PRIMARY KEY (account, kind, first, second, third)
) {clustered};

CREATE TABLE blob (
	id {id},
	key {int}, -- the first octets of sha256; NULL if a blob with others has the key
	sha256 {blob} NOT NULL,
	size {int} NOT NULL,
	crc32c {int} NOT NULL, -- of octets in content
	lacking {int} NOT NULL, -- octets of CR and LF that its lines lack (RFC 1939 §3)
	refs {int} NOT NULL, -- emails with it, and references held by others
	file {text}, -- NULL: the octets are in content
	sums {blob}, -- CRC-32C of each 64 KiB of the file
	form {blob} NOT NULL, -- envelope and structure: message.Form
	preview {text} NOT NULL
);
CREATE UNIQUE INDEX blob_key ON blob (key) WHERE key IS NOT NULL;
CREATE UNIQUE INDEX blob_file ON blob (file) WHERE file IS NOT NULL;

CREATE TABLE content (
	blob {int} NOT NULL PRIMARY KEY,
	octets {blob} NOT NULL
);

-- What changed in an account, the changes of some commits in each row; see
-- changes.go.
CREATE TABLE change (
	account {int} NOT NULL,
	modseq {int} NOT NULL, -- of the last
	since {int} NOT NULL, -- they follow this ModSeq
	total {int} NOT NULL, -- octets of entries in all rows that the account ever had, this one too
	at {int} NOT NULL, -- seconds; of the last
	entries {blob} NOT NULL,
	PRIMARY KEY (account, modseq)
) {clustered};

-- What was expunged or moved away, a row for each range of neighbours; see
-- tombstone.go.
CREATE TABLE tombstone (
	mailbox {int} NOT NULL,
	modseq {int} NOT NULL,
	uid {int} NOT NULL, -- the first
	last {int} NOT NULL,
	at {int} NOT NULL, -- seconds
	entries {blob} NOT NULL,
	PRIMARY KEY (mailbox, modseq, uid)
) {clustered};

-- Emails without a membership, until they are restored or purged.
CREATE TABLE expunged (
	at {int} NOT NULL, -- seconds
	email {int} NOT NULL,
	account {int} NOT NULL,
	mailbox {int} NOT NULL, -- the last they were in
	flags {int} NOT NULL,
	keywords {blob} NOT NULL, -- numbers in that mailbox, as in a bundle
	PRIMARY KEY (at, email)
) {clustered};

-- What copies in slices have copied so far; none of it stays if a copy fails.
CREATE TABLE copying (
	copy {int} NOT NULL, -- a number drawn for it
	mailbox {int} NOT NULL, -- where to
	uid {int} NOT NULL, -- the first of a slice
	last {int} NOT NULL,
	PRIMARY KEY (copy, uid)
) {clustered};

-- Mailboxes that are gone, while memberships of theirs are left; mailbox 0 is
-- the account.
CREATE TABLE doomed (
	account {int} NOT NULL,
	mailbox {int} NOT NULL,
	purge {int} NOT NULL, -- 1: the account is gone too, nothing is to be restored
	PRIMARY KEY (account, mailbox)
) {clustered};

-- Mailboxes that are gone and had messages, as they were called, while these can be restored.
CREATE TABLE former (
	mailbox {int} NOT NULL PRIMARY KEY,
	account {int} NOT NULL,
	name {text} NOT NULL,
	at {int} NOT NULL -- seconds; when it was deleted
);
CREATE INDEX former_account ON former (account);

-- Which thread a message-id with a base subject belongs to.
CREATE TABLE threadref (
	account {int} NOT NULL,
	ref {int} NOT NULL, -- 8 octets of a hash of both
	thread {int} NOT NULL,
	PRIMARY KEY (account, ref)
) {clustered};

-- Accounts of which emails were purged since their threadrefs were looked
-- through, which may lead to threads without an email.
CREATE TABLE thinned (
	account {int} NOT NULL PRIMARY KEY,
	times {int} NOT NULL
)
`
