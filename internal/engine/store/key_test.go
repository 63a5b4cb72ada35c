package store

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/testkit/dbtest"
	"yubin/internal/world/blob"
	"yubin/internal/world/sqldb"
)

// TestCollidingKeys: octets whose hashes begin alike are not taken for each
// other. Nobody can make such hashes here, so the rows are given the key.
func TestCollidingKeys(t *testing.T) {
	ctx := context.Background()
	db, err := sqldb.Open(ctx, dbtest.Options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, Options{DB: db, Blobs: blobs})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(ctx, func(tx *sqldb.Tx) error { return s.CreateAccount(tx, 1) }); err != nil {
		t.Fatal(err)
	}
	deliver := func(text string) {
		in := s.NewIncoming()
		defer in.Close()
		_, _ = io.WriteString(in, text)
		if _, err := s.Deliver(ctx, Posting{Message: in, Filings: []Filing{{Account: 1, Role: mail.RoleInbox, Received: s.now()}}}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := "Subject: a\r\n\r\none\r\n", "Subject: b\r\n\r\ntwo\r\n"
	deliver(first)
	in := s.NewIncoming()
	_, _ = io.WriteString(in, second)
	if _, err := in.Finish(); err != nil {
		t.Fatal(err)
	}
	key := blobKey(in.Blob())
	in.Close()
	err = db.Write(ctx, func(tx *sqldb.Tx) error {
		_, err := tx.Exec(`UPDATE blob SET key = $1`, key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	deliver(second)
	deliver(second)
	problems := 0
	if err := s.CheckDeep(ctx, func(string) { problems++ }); err != nil || problems != 1 {
		t.Fatalf("%d problems, the key that was given is one; %v", problems, err)
	}
	var got string
	err = db.Read(ctx, func(tx *sqldb.Tx) error {
		rows, err := tx.Query(`SELECT b.refs, coalesce(b.key, 0), c.octets FROM blob b JOIN content c ON c.blob = b.id ORDER BY b.id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var refs, key int64
			var octets string
			if err := rows.Scan(&refs, &key, &octets); err != nil {
				return err
			}
			got += fmt.Sprintf("%d %v %q\n", refs, key != 0, octets)
		}
		return rows.Err()
	})
	if want := fmt.Sprintf("1 true %q\n1 false %q\n1 false %q\n", first, second, second); err != nil || got != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}
