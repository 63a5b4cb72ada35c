package intake

import (
	"encoding/json"
	"fmt"
	"strings"

	"yubin/internal/mail"
)

// String says what a plan does, a line for each filing, recipient of an item and
// refusal, in words for people.
func (p *Plan) String() string {
	return p.Words(func(id mail.AccountID) string { return fmt.Sprintf("account %d", id) })
}

// Words is String, with accounts as name calls them.
func (p *Plan) Words(name func(mail.AccountID) string) string {
	var b strings.Builder
	for _, f := range p.Filings {
		fmt.Fprintf(&b, "file for %s in %s", name(f.Account), f.where())
		if words := f.words(); len(words) > 0 {
			fmt.Fprintf(&b, " with %s", strings.Join(words, " "))
		}
		if f.Copy != "" {
			fmt.Fprintf(&b, ", the copy %s", f.Copy)
		}
		b.WriteByte('\n')
	}
	for _, it := range p.Items {
		for _, r := range it.Recipients {
			switch {
			case r.Filed:
				fmt.Fprintf(&b, "report the delivery to %s", r.Address)
			case r.Expanded:
				fmt.Fprintf(&b, "report the expansion of %s", r.Address)
			default:
				fmt.Fprintf(&b, "queue for %s by %s", r.Address, r.Site)
			}
			if it.Copy != "" {
				fmt.Fprintf(&b, ", the copy %s", it.Copy)
			}
			fmt.Fprintf(&b, ", from <%s>%s\n", it.ReversePath, it.octets())
		}
	}
	for _, r := range p.Refusals {
		fmt.Fprintf(&b, "refuse %s: %v\n", r.Address, r.Err)
	}
	if b.Len() == 0 {
		return "drop the message\n"
	}
	return b.String()
}

// octets says in what the octets of an item differ from the message.
func (it Item) octets() string {
	var s string
	if len(it.Prefix) > 0 {
		s = fmt.Sprintf(", with %d octets in front", len(it.Prefix))
	}
	if it.Message != nil {
		s += fmt.Sprintf(", of its own %d octets", it.Message.Size())
	}
	return s
}

// words are the flags and keywords of a filing.
func (f Filing) words() []string { return append(f.Flags.AppendNames(nil), f.Keywords.Names()...) }

// roleName is what people call the mailbox with a role: INBOX, Junk.
func roleName(r mail.Role) string {
	switch {
	case r == mail.RoleInbox:
		return "INBOX"
	case r == "":
		return "no mailbox"
	}
	return strings.ToUpper(string(r[:1])) + string(r[1:])
}

// where names the mailbox of a filing.
func (f Filing) where() string {
	s := roleName(f.Role)
	switch {
	case f.Mailbox != 0:
		s = fmt.Sprintf("mailbox %d", f.Mailbox)
	case f.Name != "":
		s = string(f.Name)
	}
	switch {
	case f.Only:
		s += " or nowhere"
	case f.Make:
		s += ", made if there is none"
	}
	return s
}

// MarshalJSON writes a plan for machines.
func (p *Plan) MarshalJSON() ([]byte, error) {
	type filing struct {
		Account int64    `json:"account"`
		Mailbox int64    `json:"mailbox,omitempty"`
		Name    string   `json:"name,omitempty"`
		Role    string   `json:"role,omitempty"`
		Make    bool     `json:"make,omitempty"`
		Only    bool     `json:"only,omitempty"`
		Flags   []string `json:"flags,omitempty"` // and keywords
		Prefix  string   `json:"prefix,omitempty"`
	}
	type recipient struct {
		Address  string `json:"address"`
		Site     string `json:"site,omitempty"`
		Filed    bool   `json:"filed,omitempty"`
		Expanded bool   `json:"expanded,omitempty"`
	}
	type item struct {
		From       string      `json:"from"`
		Prefix     string      `json:"prefix,omitempty"`
		Own        int64       `json:"own,omitempty"`
		Recipients []recipient `json:"recipients"`
	}
	type refusal struct {
		Address string `json:"address"`
		Kind    string `json:"kind"`
		Reason  string `json:"reason"`
	}
	var out struct {
		Filings  []filing  `json:"filings"`
		Items    []item    `json:"items"`
		Refusals []refusal `json:"refusals"`
	}
	out.Filings, out.Items, out.Refusals = []filing{}, []item{}, []refusal{}
	for _, f := range p.Filings {
		out.Filings = append(out.Filings, filing{int64(f.Account), int64(f.Mailbox), string(f.Name), string(f.Role), f.Make, f.Only,
			f.words(), string(f.Prefix)})
	}
	for _, it := range p.Items {
		o := item{From: it.ReversePath.String(), Prefix: string(it.Prefix)}
		if it.Message != nil {
			o.Own = it.Message.Size()
		}
		for _, r := range it.Recipients {
			o.Recipients = append(o.Recipients, recipient{r.Address.String(), r.Site, r.Filed, r.Expanded})
		}
		out.Items = append(out.Items, o)
	}
	for _, r := range p.Refusals {
		out.Refusals = append(out.Refusals, refusal{r.Address.String(), mail.KindOf(r.Err).String(), r.Err.Error()})
	}
	return json.Marshal(out)
}
