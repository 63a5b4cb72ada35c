// Package move carries a whole post office into another data folder and another
// database, while it is open.
//
// # Rounds
//
// Each round reads the tables of the source in pieces (package rows) and brings over
// those that differ from what the target has, and large messages that it has not. The
// source goes on meanwhile, so what a round brings is of no one moment; the next one is
// shorter. When little is left, or rounds do not get shorter, the source is held: nobody
// can change anything and everybody is told to come again (Source.Hold). The last round
// reads one moment, brings what is left over, and compares every table on both sides, by
// rows, octets and a checksum of all rows.
//
// # What the target knows
//
// The target's database has a table of its own until the move is over, move_piece: which
// pieces it holds, by the keys that they lie between and the checksum of their rows. A
// piece is written in one transaction with its line there, and a line goes in the
// transaction that removes rows of it. So a move may be killed at any moment; the next
// one takes over what is there.
//
// # States
//
//	state     source                target                       a crash leaves; who goes on
//	copying   serves                a folder that is being       the same; the move, run again, goes on, and
//	                                filled, rows with lines      the source serves meanwhile
//	                                in move_piece, files
//	held      reads only, until     the same                     the source serves again when it is started
//	          the process ends
//	ready     the same              complete and compared;       the same: the source serves; the move, run
//	                                the folder says so           again, compares again
//	moved     its folder is marked  complete                     a server starts on the target, and there takes
//	          and nothing opens it                               move_piece away; on the source it says where
//	                                                             the post office went
//
// The mark in the source's folder is the one step that makes it the target that is the
// post office; package datadir looks at it from both sides. So never both serve, and
// always one of the two does.
//
// It deliberately does not start the new server, and removes nothing from the source.
package move
