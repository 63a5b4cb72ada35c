// Package crashfs makes disks fail under a running server: it injects faults
// into its system calls, and it works out what a power loss would have left.
// There is no file system here; strace stands between the server and the real
// one.
//
//	fault, err := crashfs.Attach(pid, crashfs.Fault{Calls: "fdatasync", Error: "EIO", When: "1+3", Path: wal})
//	... ; err = fault.Stop()
//
//	rec, err := crashfs.Record(ctx, scratch, folder, "yubin", "localserve", ...)
//	disk, err := rec.Stop()            // the trace, and what was in the folder before
//	state, err := disk.After(line, choose) // what there is after a power loss then
//	err = state.Write(elsewhere)
//
// # What survives a power loss
//
// The octets of a file: those that were there before the recording, and those
// of each write that was over before an fsync or fdatasync of the file was
// entered that succeeded before the loss. Each sector of 512 octets of any
// other write may be there or not, and so may the size that it gave the file;
// the chooser decides. A sync that fails takes with it what it should have
// synced: as Linux does, later syncs succeed without it, and it is lost.
//
// The names in a folder: those that were made, moved or removed before an fsync
// of the folder was entered. Others may be there up to any moment: file systems
// with a journal keep the order.
//
// SQLite's -shm files are left out, as is what is written through mmap.
//
// It needs Linux and strace 5.3 or later, and the right to trace.
package crashfs
