// Package backup copies a whole yubin, while it runs, into a depot of
// snapshots; verifies them; makes a data folder of one again; and puts single
// mailboxes or messages of one back.
//
// # What a snapshot is
//
// One moment of the database, as the rows of its tables (package rows), and every file
// that it names. It says nothing of which database that was: what was saved from one is
// restored into the other. Of a snapshot of another version of the tables, those are made
// first, filled, and brought up to date by the engines.
//
// As for the moment: rows name files that are synced before, never the other way round, and
// files whose rows go while the copy is made are held (blob.Dir.Hold). So all
// that was acknowledged before the moment is in it, nothing later is, and the
// counters are those of its rows. Other files of the data folder, keys and
// logs, are as they are when they are read.
//
// # States
//
//	state      in the depot                            a crash leaves; who cleans up
//	begun      nothing                                 nothing
//	copying    objects in packs that no snapshot       packs: the next backup finds their objects
//	           names yet                               there and does not write them again; prune
//	made       the record, and all that it names       all of it
//	pruned     the record is gone; then its objects    objects that nobody names: prune
//
// # What is kept once
//
// Tables are cut where their rows say so, into pieces of about 128 KiB, and files into
// pieces of 1 MiB, each an object by its SHA-256; a snapshot names the pieces through
// indexes and lists that are objects too. So a snapshot costs the pieces that changed. A
// file of mail never changes: one that the snapshot before has is not read again. The
// database is read wholly each time. For each table the snapshot has a checksum of all
// rows in order; what is restored is compared with it.
//
// # Restored mail
//
// UIDs, UIDVALIDITY, MODSEQ, flags and dates are as they were. Mail that
// waited to be sent at the moment of the snapshot has probably been sent since:
// it is put on hold unless asked for otherwise. Who held leases is dead: theirs are
// carried and end by themselves.
//
// It deliberately does not encrypt, does not copy to other machines, and does
// not know when to run.
package backup
