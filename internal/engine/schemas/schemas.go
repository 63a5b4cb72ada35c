package backup

import (
	"yubin/internal/engine/directory"
	"yubin/internal/engine/queue"
	"yubin/internal/engine/route"
	"yubin/internal/engine/spool"
	"yubin/internal/engine/store"
	"yubin/internal/engine/transfer"
	"yubin/internal/world/sqldb"
)

// Schemas are the tables of all engines: what a backup carries, and what can be made
// anew from it.
func Schemas() []sqldb.Schema {
	return []sqldb.Schema{store.Schema(), directory.Schema(), route.Schema(), spool.Schema(), queue.Schema(), transfer.Schema()}
}
