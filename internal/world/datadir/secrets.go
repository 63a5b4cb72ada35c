package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"yubin/internal/world/files"
)

// secretsFile says where the key is that seals secrets in the database, if it is not
// in the folder: quoted, in a line.
const secretsFile = "yubin-secrets"

// Secrets is the path that SetSecrets noted last, or "".
func (d *Dir) Secrets() (string, error) {
	text, err := files.ReadFile(d.Path(secretsFile), maxNote)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("%s cannot be read: %w", d.Path(secretsFile), cause(err))
	}
	path, err := strconv.Unquote(strings.TrimSpace(string(text)))
	if err != nil {
		return "", fmt.Errorf("%s does not say where the key of the folder is", d.Path(secretsFile))
	}
	return path, nil
}

// SetSecrets notes where the key is that seals secrets; "" is in the folder.
func (d *Dir) SetSecrets(path string) error {
	if was, err := d.Secrets(); err == nil && was == path {
		return nil
	}
	folder, err := files.Open(d.path)
	if err != nil {
		return err
	}
	defer folder.Close()
	if path == "" {
		err = folder.Root().Remove(secretsFile)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	} else {
		err = folder.Replace(secretsFile, []byte(strconv.Quote(path)+"\n"))
	}
	return errors.Join(err, folder.Sync("."))
}
