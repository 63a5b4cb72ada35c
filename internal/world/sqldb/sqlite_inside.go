package sqldb

import (
	"syscall"
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// Everything that is known of SQLite and of its translation to Go beyond what SQLite
// documents stands in this file: where in memory C's structures and functions are,
// the descriptor of a file, the page cache. A new version of modernc.org/sqlite may
// change it; TestInside says so. What is not as it is known here is not used: the WAL
// then goes through SQLite's own files, and COMMIT looks through its cache. That is
// slower and nothing else (Options.Plain, for tests).

// at is the value at an address of the C heap.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// octetsAt are n octets at an address of the C heap.
func octetsAt(p uintptr, n int64) []byte { return unsafe.Slice(at[byte](p), n) }

// method is the function that a C function pointer leads to.
func method[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

// pointer is the C function pointer of a function, which must not be a closure.
func pointer(f any) uintptr { return (*[2]uintptr)(unsafe.Pointer(&f))[1] }

// descriptor is the number that the system gave a file of SQLite's own.
func descriptor(file uintptr) int { return int(at[sqlite3.TunixFile](file).Fh) }

// knowsDescriptor reports whether descriptor finds the file that was opened.
func knowsDescriptor(file uintptr, path string) bool {
	var opened, named syscall.Stat_t
	if syscall.Fstat(descriptor(file), &opened) != nil || syscall.Stat(path, &named) != nil {
		return false
	}
	return opened.Dev == named.Dev && opened.Ino == named.Ino
}

// knowsCache reports whether pageCache finds what SQLite says of the file.
func (c *conn) knowsCache() bool {
	row, err := c.one("SELECT page_count FROM pragma_page_count")
	if err != nil {
		return false
	}
	cache, end := c.pageCache()
	return row[0] == int64(end) && (cache.FiMaxKey <= end || cache.FiMaxKey == detour)
}

// forgetDetour spares the next COMMIT a look at every page in the cache.
//
// At its end SQLite drops from the cache the pages behind the end of the file.
// If the highest number that a page ever had is no higher than the end, it
// knows that there are none. But when it balances a tree, a page can have the
// number detour for a moment, a GiB behind the beginning; after that the whole
// cache of a smaller file is looked through, which takes longer than the rest of
// a short commit. So that number is taken back, where nothing else can have put
// a page behind the end: in a transaction in which nothing was rolled back,
// neither a savepoint nor a statement.
func (c *conn) forgetDetour() {
	if !c.inside {
		return
	}
	cache, end := c.pageCache()
	if cache.FiMaxKey == detour && end < detour {
		cache.FiMaxKey = end
	}
}

// pageCache returns the cache of the database file and the file's last page.
func (c *conn) pageCache() (cache *sqlite3.TPCache1, end uint32) {
	tree := at[sqlite3.TBtree](at[sqlite3.TDb](at[sqlite3.Tsqlite3](c.db).FaDb).FpBt)
	pager := at[sqlite3.TPager](at[sqlite3.TBtShared](tree.FpBt).FpPager)
	return at[sqlite3.TPCache1](at[sqlite3.TPCache](pager.FpPCache).FpCache), pager.FdbSize
}

// detour is the page that SQLite never uses, for the sake of locks.
const detour = 1<<30/pageSize + 1
