package sqldb

import sqlite3 "modernc.org/sqlite/lib"

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
