// Package backup copies a whole yubin, while it runs, into a depot of
// snapshots; verifies them; makes a data folder of one again; and puts single
// mailboxes or messages of one back.
//
// # What a snapshot is
//
// One moment of the database, as the pages of its file, and every file that it
// names: rows name files that are synced before, never the other way round, and
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
// The database is cut into pieces of 16 pages and files into pieces of 1 MiB,
// each an object by its SHA-256; a snapshot names the pieces through lists that
// are objects too. So a snapshot costs the pieces that changed. A file of mail
// never changes: one that the snapshot before has is not read again. The
// database is read wholly each time.
//
// # Restored mail
//
// UIDs, UIDVALIDITY, MODSEQ, flags and dates are as they were. Mail that
// waited to be sent at the moment of the snapshot has probably been sent since:
// it is put on hold unless asked for otherwise. Who held leases is dead.
//
// It deliberately does not encrypt, does not copy to other machines, and does
// not know when to run.
package backup
