package sqldb

// Waiting counts the writes in the queue.
func Waiting(db *DB) int {
	db.mu.Lock()
	defer db.mu.Unlock()
	return len(db.queue)
}
