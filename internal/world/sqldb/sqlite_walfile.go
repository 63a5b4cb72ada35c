package sqldb

import (
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// The WAL of who writes or checkpoints goes through a layer of ours over SQLite's
// own files. SQLite
// writes each page in two calls and lets the file grow with each commit; the
// layer gathers what is written until it is synced or read, lets the file grow
// in steps that later commits overwrite in place, and syncs the octets without
// the times of the file. What is on disk when a sync returns is the same. A
// sync is nothing where nothing was written since the last: a checkpoint copies
// only what a commit has synced, and would otherwise fail with a sync that is
// not its own, or make one fail unseen under a commit.
//
// All of it lives in memory of the C heap, which SQLite frees with the file.

const (
	walLayer  = "yubin-wal"
	walBuffer = 512 << 10 // octets gathered
	walPiece  = 64 << 10  // octets that SQLite's own files take at once
	walGrowth = 1 << 20   // the file grows by this much
)

// walFile stands behind SQLite's own file in the same block.
type walFile struct {
	methods sqlite3.Tsqlite3_io_methods // ours, over a copy of beneath
	beneath *sqlite3.Tsqlite3_io_methods
	buffer  uintptr // walBuffer octets, then walPiece zeros
	start   int64   // where in the file the buffer goes
	length  int64   // octets in it
	size    int64   // of the file
	dirty   bool    // written since it was last synced
}

// The shapes of the methods that are ours.
type (
	opener   = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32
	closer   = func(tls *libc.TLS, file uintptr) int32
	mover    = func(tls *libc.TLS, file, octets uintptr, n int32, offset int64) int32
	resizer  = func(tls *libc.TLS, file uintptr, size int64) int32
	measurer = func(tls *libc.TLS, file, size uintptr) int32
)

// layWAL makes the layer known to SQLite. Doing it twice does no harm.
func layWAL() error {
	tls := libc.NewTLS()
	defer tls.Close()
	name, err := libc.CString(walLayer)
	if err != nil {
		return err
	}
	if sqlite3.Xsqlite3_vfs_find(tls, name) != 0 {
		libc.Xfree(tls, name)
		return nil
	}
	own := sqlite3.Xsqlite3_vfs_find(tls, 0)
	p := libc.Xcalloc(tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	if own == 0 || p == 0 {
		return errNoLayer
	}
	vfs := at[sqlite3.Tsqlite3_vfs](p)
	*vfs = *at[sqlite3.Tsqlite3_vfs](own)
	vfs.FpNext, vfs.FzName, vfs.FpAppData = 0, name, own
	vfs.FszOsFile = int32(behind(own) + unsafe.Sizeof(walFile{}))
	vfs.FxOpen = pointer(openWAL)
	if sqlite3.Xsqlite3_vfs_register(tls, p, 0) != sqlite3.SQLITE_OK {
		return errNoLayer
	}
	return nil
}

// behind is where a walFile stands in its block.
func behind(own uintptr) uintptr { return (uintptr(at[sqlite3.Tsqlite3_vfs](own).FszOsFile) + 7) &^ 7 }

func walOf(file uintptr) *walFile {
	return at[walFile](at[sqlite3.Tsqlite3_file](file).FpMethods)
}

func openWAL(tls *libc.TLS, vfs, name, file uintptr, flags int32, out uintptr) int32 {
	own := at[sqlite3.Tsqlite3_vfs](vfs).FpAppData
	rc := method[opener](at[sqlite3.Tsqlite3_vfs](own).FxOpen)(tls, own, name, file, flags, out)
	if rc != sqlite3.SQLITE_OK || flags&sqlite3.SQLITE_OPEN_WAL == 0 {
		return rc
	}
	if !knowsDescriptor(file, libc.GoString(name)) {
		return rc
	}
	f := at[sqlite3.Tsqlite3_file](file)
	p := file + behind(own)
	w := at[walFile](p)
	*w = walFile{beneath: at[sqlite3.Tsqlite3_io_methods](f.FpMethods)}
	w.methods = *w.beneath
	w.buffer = libc.Xcalloc(tls, 1, walBuffer+walPiece)
	if w.buffer == 0 {
		method[closer](w.beneath.FxClose)(tls, file)
		f.FpMethods = 0
		return sqlite3.SQLITE_NOMEM
	}
	w.methods.FxClose, w.methods.FxRead, w.methods.FxWrite = pointer(closeWAL), pointer(readWAL), pointer(writeWAL)
	w.methods.FxTruncate, w.methods.FxSync, w.methods.FxFileSize = pointer(truncateWAL), pointer(syncWAL), pointer(sizeOfWAL)
	f.FpMethods = p
	return method[measurer](w.beneath.FxFileSize)(tls, file, p+unsafe.Offsetof(w.size))
}

func closeWAL(tls *libc.TLS, file uintptr) int32 {
	w := walOf(file)
	rc := w.flush(tls, file)
	libc.Xfree(tls, w.buffer)
	if e := method[closer](w.beneath.FxClose)(tls, file); rc == sqlite3.SQLITE_OK {
		rc = e
	}
	return rc
}

func readWAL(tls *libc.TLS, file, octets uintptr, n int32, offset int64) int32 {
	w := walOf(file)
	if rc := w.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return method[mover](w.beneath.FxRead)(tls, file, octets, n, offset)
}

func writeWAL(tls *libc.TLS, file, octets uintptr, n int32, offset int64) int32 {
	w := walOf(file)
	if offset != w.start+w.length || w.length+int64(n) > walBuffer {
		if rc := w.flush(tls, file); rc != sqlite3.SQLITE_OK {
			return rc
		}
		w.start = offset
	}
	if int64(n) > walBuffer {
		return w.write(tls, file, octets, int64(n), offset)
	}
	copy(octetsAt(w.buffer+uintptr(w.length), int64(n)), octetsAt(octets, int64(n)))
	w.length += int64(n)
	return sqlite3.SQLITE_OK
}

func truncateWAL(tls *libc.TLS, file uintptr, size int64) int32 {
	w := walOf(file)
	rc := w.flush(tls, file)
	w.dirty = true
	if rc == sqlite3.SQLITE_OK {
		rc = method[resizer](w.beneath.FxTruncate)(tls, file, size)
	}
	if rc == sqlite3.SQLITE_OK {
		w.size = min(w.size, size)
	}
	return rc
}

// syncWAL syncs the octets; the folder is synced by Open.
func syncWAL(tls *libc.TLS, file uintptr, _ int32) int32 {
	w := walOf(file)
	if rc := w.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	if !w.dirty {
		return sqlite3.SQLITE_OK
	}
	if err := syncOctets(descriptor(file)); err != nil {
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	w.dirty = false
	return sqlite3.SQLITE_OK
}

func sizeOfWAL(tls *libc.TLS, file, size uintptr) int32 {
	w := walOf(file)
	if rc := w.flush(tls, file); rc != sqlite3.SQLITE_OK {
		return rc
	}
	return method[measurer](w.beneath.FxFileSize)(tls, file, size)
}

// flush writes what was gathered. It is forgotten even if that fails: SQLite
// then rolls back.
func (w *walFile) flush(tls *libc.TLS, file uintptr) int32 {
	n := w.length
	w.start, w.length = w.start+n, 0
	if n == 0 {
		return sqlite3.SQLITE_OK
	}
	rc := w.write(tls, file, w.buffer, n, w.start-n)
	if rc == sqlite3.SQLITE_OK && w.start > w.size {
		w.grow(tls, file)
	}
	return rc
}

// grow puts zeros behind what was written: no commit among them has to change
// the size of the file. Without room for that, there may be room for commits.
func (w *walFile) grow(tls *libc.TLS, file uintptr) {
	w.size = w.start
	for end := (w.start/walGrowth + 1) * walGrowth; w.size < end; {
		n := min(end-w.size, walPiece)
		if w.write(tls, file, w.buffer+walBuffer, n, w.size) != sqlite3.SQLITE_OK {
			return
		}
		w.size += n
	}
}

func (w *walFile) write(tls *libc.TLS, file, octets uintptr, n, offset int64) int32 {
	w.dirty = true
	for n > 0 {
		piece := min(n, walPiece)
		if rc := method[mover](w.beneath.FxWrite)(tls, file, octets, int32(piece), offset); rc != sqlite3.SQLITE_OK {
			return rc
		}
		octets, n, offset = octets+uintptr(piece), n-piece, offset+piece
	}
	return sqlite3.SQLITE_OK
}
