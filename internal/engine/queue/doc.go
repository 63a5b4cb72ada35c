// Package queue is the schedule of outgoing mail: which recipient of which
// spooled message is tried when, at which site, and how it ended (RFC 5321
// §4.5.4.1). It tells senders what became of their mail when they are to know
// (RFC 3461 §5.2), honours FUTURERELEASE (RFC 4865), DELIVERBY (RFC 2852) and
// MT-PRIORITY (RFC 6710), and is the operator's hands on all of it.
//
// # States of a delivery
//
//	state    row                            left by a crash       who goes on
//	none     none                           -                     -
//	waiting  state 1, due                   as it is              the scheduler, when it is due
//	held     state 2                        as it is              an operator
//	active   state 3, due, owner            as it is: what the    a restart, or another node when the
//	                                        remote answered is    owner's lease ends: it waits again
//	                                        not known
//	active,  as waiting or held             as it is: it waits,   the scheduler of the next process
//	if alone                                or is held
//	owed     state 4, report_at, last       as it is              the reports' round
//	settled  none; events; the item's last  all of it             sweep, after Schedule.History
//	         one settles the item
//
// Each change of state is one transaction, with its events:
//
//   - Add: none to waiting, in the commit that takes custody of the message; none
//     to owed for those that need only a report of success.
//   - claim: waiting to active, many in one commit, before the courier begins. Who
//     has the database alone claims in memory: an errand of the board is busy from
//     before its rows are read until its outcome is durable, and whoever else is to
//     change rows freezes them first, see freeze. After a crash its rows wait, as
//     they would after a takeover.
//   - settle: active to waiting, owed or settled, after the courier has the
//     answer. If it was the last recipient that anybody waits for, the report to
//     the sender is spooled or filed in the same commit, and owed is skipped.
//     What goes into mailboxes here is settled in the commit that files it (Filer).
//   - report: owed to settled, in the commit that spools or files the report.
//     Failures of a message that are settled at about the same time wait for
//     each other in owed, so there is one report and not one per recipient. The
//     message stays in custody until then: the report quotes it.
//
// A report of ours that cannot be delivered is owed too, though it has no sender:
// what the Reporter makes of it takes its place, in another form to the same
// recipients or as a message to the postmaster. Each form is tried once
// (spool.Report); when the last one fails, the log and an event tell.
//
// So a message is in the spool as long as a row names it; an answer that was
// settled is never asked for again; what a crash leaves active is sent once
// more, and that is a duplicate only if the answer was lost with the process.
//
// A host that has answered is given its next message while the answer is being
// settled, with the next commit. At most 64 answers wait for that at a time; if
// the database does not take one, nothing else is begun.
//
// # Memory
//
// The rows are the queue; memory holds a window of what is due, see board and
// scanner. What is new is put there by the commit that makes it durable and
// read by nobody before it is claimed. A million waiting deliveries are rows, at
// however many sites: of those some twenty thousand are known at most, and what
// is done for one delivery does not depend on how many there are.
//
// Of mail that was accepted a moment ago the rows and the octets are in memory
// too, up to 8 MiB, so that nothing is read to carry it.
//
// # Sites
//
// A site is what one session can carry to. Its concurrency grows by one each
// time that all of it was used well, halves with each session that does not
// come about, and below one the site is down: one message probes it after 1, 2,
// 4 to 15 minutes, and whatever else becomes due goes on along its own schedule
// without being tried, expires, and is reported.
//
// What waits because of its site, tried or not, is parked: its row has the time when
// it was put off. A probe is the message in memory, or whichever was put off longest
// ago (probe.go); who is in neither is found by a walk along the sites with parked
// mail. When the site is well all that was parked before is due at once, some hundreds
// at a time, as far as there is room. What fails with the site again is parked later
// than that, and is not made due more often than a site that is down is probed. What
// a host said of a message or recipient parks nothing.
//
// Sites that answered and those that did not, or were
// never tried, take turns, and the latter have three quarters of the transactions
// at most. A site or route that an operator paused is
// treated alike, without a probe.
//
// # Rows that cannot be read
//
// A row with a value that it cannot have, such as an address that today's parser
// refuses, or whose item has one, stops nobody: it is told of in the log, once,
// and by Check, is held when it would be carried or reported, is listed and shown with
// what is wrong with it, and can be dropped.
//
// # Leases
//
// A Queue that runs has a row in queue_owner, whose time it renews every 15
// seconds for one minute; a delivery that is active has the number of that row.
// When a lease has ended, whoever runs makes its deliveries wait again. A
// settlement whose lease was lost counts only if it says delivered.
//
// It deliberately finds no hosts (the Courier does), knows no routes (the
// Router), writes no reports (the Reporter), and has no index for addresses:
// List, Count and Trace look through the rows.
package queue
