// Package route decides where mail for a recipient goes: into accounts of this
// server, on to another host, or nowhere. It answers at RCPT (Route), before
// each attempt of the queue (NextHop), and for people (Explain). Its tables are
// few and stand in memory; a change is durable when its method returns, and
// counts at once.
//
// # Which route
//
// A route names what it matches and what it does. Of all that match a
// recipient, the first in this order is taken:
//
//  1. the recipient's address: bob@example.org, for bob+tag too
//  2. the recipient's domain: example.org
//  3. the domains above it, the longest first: .example.org
//  4. the sender's address
//  5. the sender's domain
//  6. "*"
//
// and without any the mail exchangers of the domain (RFC 5321 §5.1), or the
// host of an address literal (§4.1.3). The sender is the reverse-path, so what
// comes from <> is matched by its recipient only.
//
// A local address goes before all but 1 and 2: example.org with an account bob
// keeps bob's mail, unless a route names bob@example.org or example.org itself.
// A route that is set to Unknown goes after local addresses too, and so takes
// what nobody here has: a domain that is divided between two servers. Who is
// reached through an alias is looked up in 1 and 2 by his own address.
//
// # Who may
//
// Mail for a local domain is taken from anybody. Mail for another one is taken
// only if the sender has logged in, the client is in a trusted network, it is a
// message of this server itself, the recipient is where one of our aliases
// leads, or a route with Relay covers it: its address, or what stands first in
// 2 and 3 (backup MX). Anybody else hears "relaying denied", whatever routes
// there are; no route makes an open relay.
//
// # At RCPT and later
//
// Reject and discard routes act at RCPT. NextHop goes by the tables as they
// stand at each attempt, whatever they were at RCPT, and asks nobody whether
// they may: mail that was accepted is carried. A route that rejects or discards
// by then fails it, and the sender is told: nothing in the queue is dropped
// without a word. Where the operator has left mail without a way, as the route that
// was chosen for it is gone, it waits. What is at home here, as it was held for a
// time or its domain became ours, is filed.
//
// # Rows
//
//	route_route    a route: what it does
//	route_pattern  what it matches; a pattern belongs to one route
//	route_network  a trusted network
//
// A row with a value that it cannot have stops none of the others, and opens
// nothing: it is told of in the log, by Check and in the lists, and removed by its
// name. Of a route of which it cannot be read what it does, mail that it matches
// waits: at RCPT a temporary refusal, in the queue a delay, for it may have been a
// refusal, or the one way that is safe. So with a pattern of which the route or the
// side is lost. A pattern that the parser refuses matches nothing, and the others of
// its route stand: no recipient could have an address that is written so, for the
// same parser reads it. A network is not trusted.
//
// Each change is one transaction, which reads the tables anew and shows them
// when it commits. They are right for one process; it is not told of changes
// made by another.
//
// It deliberately looks up no host (engine/hosts does, for the courier and for
// Explain, which tells what it finds) and sends nothing. What a sender is refused for, beside the
// way of the mail, is no business of routes: a sender's route carries what he
// sends and never keeps it from local people.
package route
