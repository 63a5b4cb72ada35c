package secrets

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"yubin/internal/mail"
)

// FileName is what the file is called.
const FileName = "secrets.key"

const (
	linePrefix = "yubin-key-1 "
	fileHead   = `# What yubin keeps secret in its database is sealed with this key: the private
# keys of DKIM and of certificates, second factors. No backup has it. Keep a copy where no backup of the database is;
# all servers of a site have the same one. Without it those keys are made anew.
`
)

// find reads the first file that is there.
func find(paths []string) (path string, keys []key, err error) {
	for _, path := range paths {
		keys, err := read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return path, nil, &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("the file of secrets %s cannot be used: %s", path, why(err)), Err: err}
		}
		return path, keys, nil
	}
	return "", nil, nil
}

// why is err without the path.
func why(err error) string {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

func read(path string) ([]key, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // A FIFO does not hold it up.
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file")
	case info.Mode().Perm()&0o027 != 0:
		return nil, fmt.Errorf("others can read or change it (mode %04o); chmod 600 closes it", info.Mode().Perm())
	case info.Size() > maxFile:
		return nil, fmt.Errorf("it has over %d octets", maxFile)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, err
	}
	return parse(text)
}

// parse reads what is in a file.
func parse(text []byte) (keys []key, err error) {
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		coded, ok := strings.CutPrefix(line, linePrefix)
		if !ok {
			return nil, fmt.Errorf("line %d does not begin with %q", n, strings.TrimSpace(linePrefix))
		}
		secret, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(coded))
		if err != nil || len(secret) != keySize {
			return nil, fmt.Errorf("line %d is not %d octets in base64", n, keySize)
		}
		if len(keys) == MaxKeys {
			return nil, fmt.Errorf("it has over %d keys", MaxKeys)
		}
		keys = append(keys, keyOf(secret))
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no key")
	}
	return keys, nil
}

func keyOf(secret []byte) (k key) {
	copy(k.secret[:], secret)
	sum := sha256.Sum256(secret)
	copy(k.id[:], sum[:])
	return k
}

// create makes a file at the first of paths where it can be. Who is not the first
// to make it reads what the other one wrote.
func create(paths []string, random io.Reader) (path string, keys []key, err error) {
	secret := make([]byte, keySize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return "", nil, &mail.Error{Kind: mail.Internal, Text: "no randomness", Err: err}
	}
	text := fileText(secret)
	for _, path := range paths {
		if err = writeNew(path, text); errors.Is(err, fs.ErrExist) {
			if keys, err = read(path); err == nil {
				return path, keys, nil
			}
			break
		}
		if err == nil {
			return path, []key{keyOf(secret)}, nil
		}
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) {
			break
		}
	}
	return "", nil, &mail.Error{Kind: mail.Unavailable, Text: fmt.Sprintf("a file of secrets cannot be made at %s: %s", strings.Join(paths, " or "), why(err)), Err: err}
}

// fileText is a file with one key.
func fileText(secret []byte) []byte {
	return []byte(fileHead + linePrefix + base64.StdEncoding.EncodeToString(secret) + "\n")
}

// writeNew makes a file, whole and durable, or none. It replaces nothing.
func writeNew(path string, text []byte) error {
	folder := filepath.Dir(path)
	f, err := os.CreateTemp(folder, ".secrets-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, bytes.NewReader(text))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // Not a rename: that would replace one.
		var l *os.LinkError
		if errors.As(err, &l) {
			return &fs.PathError{Op: l.Op, Path: l.New, Err: l.Err}
		}
		return err
	}
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Make makes a file with a new key, 0600, whole and durable. The error is fs.ErrExist if
// there is one: none is replaced.
func Make(path string, random io.Reader) error {
	secret := make([]byte, keySize)
	if _, err := io.ReadFull(random, secret); err != nil {
		return err
	}
	return writeNew(path, fileText(secret))
}
