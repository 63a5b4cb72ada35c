package judge

// rule is a row of the table: a fact that weighs. When it does, find tells what was
// seen.
type rule struct {
	name   string
	weight float64
	text   string              // what the rule is about, for the documentation
	find   func(*Facts) string // what was seen, "" if the rule does not hold
}

// rules are all, in the order in which they are documented (docs/rules.md has the same
// table; a test compares). None alone puts a message into Junk. The weights were
// set so that the public corpus of bench/junk, before anything is learned, has at most
// one in two hundred good messages in Junk and refuses none.
//
// What SPF, DKIM and DMARC say of who wrote is in sender.go, what is known of a
// correspondent in known.go, what lists say in lists.go.
func rules() []rule {
	return []rule{
		// Who it says it is from.
		{"from-missing", 2, "There is no From field.", fromMissing},
		{"from-twice", 3, "There are several From fields: readers show different ones.", fromTwice},
		{"from-broken", 2, "The From field cannot be read for certain.", fromBroken},
		{"name-shows-address", 3, "The name of the sender shows an address of another domain.", nameShowsAddress},
		{"reply-elsewhere", 0.5, "Answers go to another domain than that of the sender.", replyElsewhere},
		{"domain-like-ours", 4, "The sender's domain looks like one of ours, and is not.", domainLikeOurs},
		{"domain-deceptive", 4, "The sender's domain mixes alphabets, or reads like another one.", domainDeceptive},
		{"backscatter", 4.5, "It returns a message that this server never sent.", backscatter},

		// Where it comes from.
		{"reverse-missing", 1, "The address of the client has no name in the DNS.", reverseMissing},
		{"reverse-fail", 0.5, "The name of the client does not lead back to its address.", reverseFails},
		{"helo-ours", 3, "The client says that it is this server.", heloOurs},
		{"helo-address", 1.5, "The client gives an address as its name, and one that is not its own or not written as one.", heloAddress},
		{"helo-short", 1, "The client's name is no full name of a host.", heloShort},

		// Its header.
		{"date-missing", 2, "There is no Date field, or none that can be read.", dateMissing},
		{"date-ahead", 1.5, "The date is more than two days ahead.", dateAhead},
		{"date-behind", 0.7, "The date is more than thirty days ago.", dateBehind},
		{"message-id-missing", 1.5, "There is no Message-ID.", messageIDMissing},
		{"header-undecoded", 1, "The subject or a name has octets that say not in which alphabet they are.", headerUndecoded},
		{"subject-garbled", 1.5, "The subject cannot be decoded.", subjectGarbled},
		{"subject-shouting", 2, "The subject is all in capitals.", subjectShouting},

		// What it says.
		{"words-mixed", 2.5, "Words are written with letters of several alphabets that look alike.", wordsMixed},
		{"words-cut", 2, "Words are cut by characters that nobody sees.", wordsCut},
		{"text-hidden", 1.5, "Much of the text is hidden from who reads it.", textHidden},
		{"image-for-text", 1.5, "It shows pictures, and almost no text.", imageForText},
		{"html-alone", 1, "All of its text is HTML, with nothing for who reads plain text.", htmlAlone},
		{"html-form", 1.2, "It asks to fill in a form in the message itself.", htmlForm},
		{"html-script", 1.5, "It has programs for the reader's mail program to run.", htmlScript},

		// Where its links lead.
		{"link-elsewhere", 1, "A link shows the name of one host and leads to another.", linkElsewhere},
		{"link-address", 3, "A link leads to a bare address instead of a name.", linkAddress},
		{"link-user", 2.5, "A link hides where it leads behind an @.", linkUser},
		{"link-deceptive", 3, "A link leads to a domain that mixes alphabets, or reads like another one.", linkDeceptive},

		// What is attached.
		{"attached-program", 4, "A program is attached.", attachedProgram},
		{"attached-packed-program", 3.5, "A program is attached, in an archive.", attachedPacked},
		{"attached-two-names", 3, "An attachment has the ending of a document before that of a program.", attachedTwoNames},
		{"attached-disguised", 3.5, "An attachment is a program and is not called like one.", attachedDisguised},
		{"attached-macros", 1.5, "A document with macros is attached.", attachedMacros},
		{"attached-locked", 1.5, "An archive is attached that nobody can look into without a password.", attachedLocked},
		{"attached-page", 1, "A web page is attached, to be opened outside the mail program.", attachedPage},

		// What speaks for it.
		{"unsubscribe-signed", -0.5, "An authenticated sender offers to stop it with one click (RFC 8058).", unsubscribeSigned},
	}
}

// applyRules gives the reasons that hold for f.
func applyRules(f *Facts) (reasons []Reason) {
	for _, r := range rules() {
		if seen := r.find(f); seen != "" {
			reasons = append(reasons, Reason{Name: r.name, Text: seen, Weight: r.weight})
		}
	}
	return append(reasons, listed(f)...)
}

// Rule is a row of the table, for people.
type Rule struct {
	Name   string
	Weight float64
	Text   string
}

// Rules are the rows of the table.
func Rules() (all []Rule) {
	for _, r := range rules() {
		all = append(all, Rule{r.name, r.weight, r.text})
	}
	return all
}
