package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"yubin/internal/world/files"
)

// databaseFile says which database on a server the folder has, if it has one. It may
// have a password in it, and like all of the folder is for its owner only.
const databaseFile = "yubin-database"

// Remote is a database on a server, which has what the folder's own file would have.
type Remote struct {
	URL     string // postgres://…
	ID      string // of the folder, as the database knows it
	Claimed bool   // the database knows it
}

// Remote is the database on a server that the folder has; the zero Remote if its
// database is a file.
func (d *Dir) Remote() (Remote, error) {
	text, err := os.ReadFile(d.Path(databaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Remote{}, nil
	}
	if err != nil {
		return Remote{}, fmt.Errorf("%s cannot be read: %w", d.Path(databaseFile), cause(err))
	}
	var r Remote
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 3 || lines[1] == "" {
		return r, fmt.Errorf("%s does not say which database the folder has", d.Path(databaseFile))
	}
	r.URL, r.ID, r.Claimed = lines[0], lines[1], lines[2] == "claimed"
	return r, nil
}

// SetRemote notes that the folder's database is on a server.
func (d *Dir) SetRemote(r Remote) error {
	folder, err := files.Open(d.path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return setRemote(folder, r)
}

// SetRemote notes that the database of the folder that is filled is on a server.
func (f *Filling) SetRemote(r Remote) error { return setRemote(f.folder, r) }

func setRemote(folder *files.Folder, r Remote) error {
	state := "new"
	if r.Claimed {
		state = "claimed"
	}
	return errors.Join(folder.Replace(databaseFile, fmt.Appendf(nil, "%s\n%s\n%s\n", r.URL, r.ID, state)), folder.Sync("."))
}

// Remote is Dir.Remote of the folder that is filled.
func (f *Filling) Remote() (Remote, error) { return f.dir.Remote() }

// HasDatabase reports whether the folder has a database of its own: a file.
func (d *Dir) HasDatabase() bool {
	_, err := os.Lstat(d.Path(Database))
	return err == nil
}
