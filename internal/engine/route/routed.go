package route

import (
	"net/netip"

	"yubin/internal/mail"
)

// Question is what a Router is asked.
type Question struct {
	Recipient mail.Address
	Sender    mail.ReversePath
	Account   mail.AccountID // who logged in, or zero
	// Remote is the client, where it counts whether its network is trusted; else
	// not valid.
	Remote netip.Addr
	User   bool   // a user of this machine brought it
	Ours   bool   // the message is this server's own, such as a report: it may go anywhere
	Via    string // the route that an operator chose, or ""; only NextHop and Explain look at it
}

// Onward is a recipient elsewhere.
type Onward struct {
	Address mail.Address // the recipient, or a target of the alias that the recipient is
	Hop     mail.NextHop
	Route   string // its name; "" for plain MX
	// Forward is the domain of ours in whose name the mail goes on: somebody there was
	// written to, and is who this is elsewhere. "" if the recipient was named as such.
	Forward mail.Domain
	// By is the account that sends its mail on here and keeps a copy, or zero: without
	// that copy nothing goes here.
	By mail.AccountID
}

// Routed is where mail for one recipient goes: at least one of Accounts, Onward
// and Discard says.
type Routed struct {
	Accounts []mail.AccountID // each once
	Names    []mail.Address   // of Accounts
	By       []mail.AccountID // of Accounts, as in Onward
	Detail   string           // the subaddress (RFC 5233)
	Onward   []Onward         // each address once
	Discard  string           // the name of the route that drops it, or ReportsOnly; then there is nothing else
}

// ReportsOnly stands in Discard where mail is for nobody but the server, which reads
// reports out of it. No route has such a name.
const ReportsOnly = "(reports)"

// Refusal is the cause (errors.As) of the Forbidden that a reject route gives.
// The text of the error is that of the route, for the sender.
type Refusal struct {
	Route    string
	Enhanced string // "5.7.1", or what the route says instead
}

func (r *Refusal) Error() string { return "rejected by the route " + r.Route }
