package depot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"yubin/internal/mail"
)

// sumHead begins the last line of a record: the SHA-256 of what is before it.
const sumHead = "sha256 "

// Save keeps a record under a new name, durably, after all that was put.
// Exists if there is one of the name, TooLarge if there are MaxRecords. text
// ends with a line feed.
func (d *Depot) Save(name string, text []byte) error {
	if !validName(name) || len(text) > MaxRecord {
		return mail.Errorf(mail.Internal, "the record %q cannot be kept", name)
	}
	path := record(name)
	if _, err := d.dir.Stat(path); err == nil {
		return mail.Errorf(mail.Exists, "%s has a record %s already", d.path, name)
	}
	if names, err := d.Records(); err != nil {
		return err
	} else if len(names) >= MaxRecords {
		return mail.Errorf(mail.TooLarge, "%s has %d snapshots, which is the limit; prune it", d.path, len(names))
	}
	if err := d.Flush(); err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	whole := append(bytes.Clone(text), sumHead+hex.EncodeToString(sum[:])+"\n"...)
	temp := tempFolder + "/" + name
	if err := d.writeSynced(temp, whole); err != nil {
		return d.failure("cannot write in", err)
	}
	if err := d.step("record synced"); err != nil {
		return err
	}
	if err := d.dir.Rename(temp, path); err != nil {
		return d.failure("cannot write in", err)
	}
	if err := d.step("record named"); err != nil {
		return err
	}
	return d.syncFolder(recordFolder)
}

// record is the name of its file.
func record(name string) string {
	return recordFolder + "/" + name + recordEnding
}

// validName keeps names of records from leading elsewhere.
func validName(name string) bool {
	return name != "" && len(name) <= 100 && strings.IndexFunc(name, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-')
	}) < 0
}

// Records lists the names, sorted.
func (d *Depot) Records() ([]string, error) {
	entries, err := d.dir.List(recordFolder)
	if err != nil {
		return nil, d.failure("cannot read", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), recordEnding); ok && validName(name) {
			names = append(names, name)
		}
	}
	if len(names) > MaxRecords {
		return nil, mail.Errorf(mail.TooLarge, "%s has %d snapshots; at most %d are looked at", d.path, len(names), MaxRecords)
	}
	slices.Sort(names)
	return names, nil
}

// Load reads a record and verifies it. NotFound if there is none; *Damaged if
// it is not what was saved.
func (d *Depot) Load(name string) ([]byte, error) {
	if !validName(name) {
		return nil, mail.Errorf(mail.NotFound, "%s has no snapshot %q", d.path, name)
	}
	text, err := d.dir.Read(record(name), MaxRecord+1024)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mail.Errorf(mail.NotFound, "%s has no snapshot %s", d.path, name)
	}
	if kind := mail.KindOf(err); err != nil && (kind == mail.Forbidden || kind == mail.TooLarge) {
		return nil, &Damaged{Pack: d.dir.Path(record(name)), Why: err.Error()}
	}
	if err != nil {
		return nil, d.failure("cannot read", err)
	}
	at := bytes.LastIndex(text, []byte(sumHead))
	if at < 0 {
		return nil, &Damaged{Pack: d.dir.Path(record(name)), Why: "it does not end as a record does"}
	}
	sum := sha256.Sum256(text[:at])
	if string(text[at:]) != sumHead+hex.EncodeToString(sum[:])+"\n" {
		return nil, &Damaged{Pack: d.dir.Path(record(name)), Why: "it does not match its checksum"}
	}
	return text[:at], nil
}

// Remove removes a record, durably. Its objects stay until Keep.
func (d *Depot) Remove(name string) error {
	if !validName(name) {
		return mail.Errorf(mail.NotFound, "%s has no snapshot %q", d.path, name)
	}
	if err := d.dir.Remove(record(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.failure("cannot remove a file in", err)
	}
	if err := d.step("record gone"); err != nil {
		return err
	}
	return d.syncFolder(recordFolder)
}
