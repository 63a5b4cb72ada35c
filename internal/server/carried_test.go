package server

import (
	"testing"

	"yubin/internal/engine/schemas"
	"yubin/internal/world/sqldb"
)

// TestEveryTableIsCarried: every engine that makes tables is one that a backup makes
// anew, and every table is made of what a backup can carry.
func TestEveryTableIsCarried(t *testing.T) {
	st, err := MakeStore(t.Context(), local(t).Data, deps())
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	known := map[string]bool{}
	for _, s := range schemas.All() {
		known[s.Engine] = true
		if err := st.db.Migrate(t.Context(), s.Engine, s.Steps); err != nil {
			t.Error(err)
		}
	}
	err = st.db.Read(t.Context(), func(tx *sqldb.Tx) error {
		tables, err := tx.Tables() // Its error says what a table must have.
		if err == nil && len(tables) < 20 {
			t.Errorf("there are only %d tables", len(tables))
		}
		rows, e := tx.Query(`SELECT engine FROM schema_version`)
		if e != nil {
			return e
		}
		defer rows.Close()
		for rows.Next() {
			var engine string
			if err := rows.Scan(&engine); err != nil {
				return err
			}
			if !known[engine] {
				t.Errorf("the engine %s has tables that a backup does not know: give it a func Schema() sqldb.Schema and add that to All in engine/schemas", engine)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
