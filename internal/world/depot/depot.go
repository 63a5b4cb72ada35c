// Package depot keeps octets in a folder so that the same ones are kept once,
// however often they are put there. An object is named by its SHA-256 and never
// changes; objects stand together in packs, compressed; records say which
// objects make up something.
//
// # States
//
//	file                 what it is                     after a crash
//	yubin-backup         marks the folder, with the     stays
//	                     version of the format
//	lock                 held by whoever uses the       free: the lock dies with its holder
//	                     folder: alone to write, with
//	                     others to read
//	tmp/NAME             being written; nobody's        whoever opens to write removes it
//	packs/NAME.pack      synced, complete, immutable    its objects are there and need not be
//	                                                    put again, also if no record names them
//	records/ID.json      synced; all that it names is   stays
//	                     in packs that were synced
//	                     before
//
// A pack is synced, moved to its name, and its folder synced; a record is
// written when all packs are. A pack goes only after what is still wanted of it
// is in another one.
//
// # Format of a pack
//
//	"yubinpk1"  the objects, one after the other, each a Zstandard frame
//	(RFC 8878) or, if that is not shorter, as it is  the table: for each object
//	32 octets of SHA-256 and three numbers of 4 octets, big-endian: where it
//	begins, how long it is there, how long it is  the count of objects in 4
//	octets  the SHA-256 of the table  "yubinpk1"
//
// Files are for their owner only (0600), folders too (0700).
//
// It deliberately does not encrypt, and does not know what the objects are.
package depot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"yubin/internal/mail"
)

// Limits and sizes.
const (
	MaxObject  = 4 << 20  // octets of one object
	PackSize   = 32 << 20 // octets at which a pack is closed
	maxTable   = 1 << 20  // objects in one pack
	MaxRecord  = 64 << 20 // octets of one record
	MaxRecords = 10000    // records in one folder
)

// What stands in the folder.
const (
	markerFile   = "yubin-backup"
	markerText   = "yubin backup, format 1\n"
	markerHead   = "yubin backup, "
	lockName     = "lock"
	tempFolder   = "tmp"
	packFolder   = "packs"
	packEnding   = ".pack"
	recordFolder = "records"
	recordEnding = ".json"
)

// Hash names an object: the SHA-256 of its octets.
type Hash [sha256.Size]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText writes h in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("%q is not the name of an object", text)
	}
	copy(h[:], b)
	return nil
}

// Damaged says that an object is not there as it was put.
type Damaged struct {
	Object Hash
	Pack   string // its path; "" if no pack has the object
	Why    string
}

func (d *Damaged) Error() string {
	if d.Pack == "" {
		return fmt.Sprintf("object %.16s…: %s", d.Object, d.Why)
	}
	return fmt.Sprintf("object %.16s… in %s: %s", d.Object, d.Pack, d.Why)
}

// Options say how to open a depot.
type Options struct {
	Path  string
	Write bool // alone, to change it; else others may read too
	Make  bool // make the folder if it is not there or empty; with Write

	// Step hears the name of each durable step before the next one is taken. An
	// error stops the work right there and leaves everything as it is, as a crash
	// would. For tests; nil for none.
	Step func(name string) error
}

// Depot is an open depot. Not safe for concurrent use.
type Depot struct {
	path   string
	step   func(string) error
	lock   *os.File // nil if the folder cannot be written
	packs  []*pack
	places map[Hash]place
	broken []brokenPack

	open    *packWriter // of what is being put
	encoder *zstd.Encoder
	decoder *zstd.Decoder
	packed  []byte // buffer of what is compressed
}

// place is where an object stands.
type place struct {
	pack               *pack
	offset, kept, size uint32
}

// Open opens the depot. The error is of kind Invalid if the folder is another
// thing, NotFound if it is not there, Conflict if it is in use or of a newer
// format, Unavailable if it cannot be read or written.
func Open(o Options) (*Depot, error) {
	d := &Depot{path: o.Path, step: o.Step, places: make(map[Hash]place)}
	if d.step == nil {
		d.step = func(string) error { return nil }
	}
	if err := d.prepare(o); err != nil {
		return nil, err
	}
	if err := d.take(o.Write); err != nil {
		return nil, err
	}
	if err := d.load(o.Write); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Close gives the folder back. What was put and not flushed is forgotten.
func (d *Depot) Close() error {
	if d.open != nil {
		d.open.drop()
		d.open = nil
	}
	if d.decoder != nil {
		d.decoder.Close()
	}
	var err error
	for _, p := range d.packs {
		err = errors.Join(err, p.close())
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}

// Path returns where the depot is.
func (d *Depot) Path() string { return d.path }

// prepare makes sure that the folder is a depot that we can use.
func (d *Depot) prepare(o Options) error {
	text, err := os.ReadFile(filepath.Join(d.path, markerFile))
	switch {
	case err == nil && string(text) == markerText:
		return nil
	case err == nil && strings.HasPrefix(string(text), markerHead):
		return mail.Errorf(mail.Conflict, "%s was written by a newer yubin (%q); use that version", d.path, strings.TrimSpace(string(text)))
	case err == nil:
		return notOurs(d.path)
	case !errors.Is(err, fs.ErrNotExist):
		return d.failure("cannot read", err)
	case o.Make && o.Write:
		return d.create()
	}
	if _, err := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) {
		return mail.Errorf(mail.NotFound, "there is no backup at %s", d.path)
	}
	return notOurs(d.path)
}

func notOurs(path string) error {
	return mail.Errorf(mail.Invalid, "%s is not a backup of yubin", path)
}

// create makes an empty folder a depot; the marker comes last.
func (d *Depot) create() error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return d.failure("cannot make", err)
	}
	f, err := os.Open(d.path)
	if err != nil {
		return d.failure("cannot read", err)
	}
	defer f.Close()
	if names, err := f.Readdirnames(-1); err != nil || !onlyOurs(names) {
		return mail.Errorf(mail.Invalid, "%s is not a backup of yubin and not empty; choose another folder", d.path)
	}
	_ = os.Chmod(d.path, 0o700) // A file system without modes has none to set.
	for _, name := range []string{tempFolder, packFolder, recordFolder} {
		if err := os.Mkdir(filepath.Join(d.path, name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return d.failure("cannot make a folder in", err)
		}
	}
	if err := writeSynced(filepath.Join(d.path, markerFile), []byte(markerText)); err != nil {
		return d.failure("cannot write in", err)
	}
	return d.syncFolder("")
}

// onlyOurs reports whether a folder has nothing, or what a create that was cut
// short left.
func onlyOurs(names []string) bool {
	for _, n := range names {
		if n != tempFolder && n != packFolder && n != recordFolder && n != "lost+found" {
			return false
		}
	}
	return true
}

// load reads the tables of all packs and clears what is unfinished.
func (d *Depot) load(write bool) (err error) {
	if d.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest)); err != nil {
		return err
	}
	if d.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxObject)); err != nil {
		return err
	}
	if write {
		if err := d.clearTemp(); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(filepath.Join(d.path, packFolder))
	if err != nil {
		return d.failure("cannot read", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), packEnding) {
			if err := d.loadPack(e.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Depot) clearTemp() error {
	left, err := os.ReadDir(filepath.Join(d.path, tempFolder))
	if err != nil {
		return d.failure("cannot read", err)
	}
	for _, e := range left {
		if err := os.RemoveAll(filepath.Join(d.path, tempFolder, e.Name())); err != nil {
			return d.failure("cannot clear", err)
		}
	}
	return nil
}

// brokenPack is a pack that cannot be read at all.
type brokenPack struct{ path, why string }

// Faults tells which packs cannot be read at all. Their objects are as if not
// there, and are put anew by whoever has them.
func (d *Depot) Faults() (list []string) {
	for _, b := range d.broken {
		list = append(list, b.path+": "+b.why)
	}
	return list
}

// Temp makes a folder for files that are nobody's after Close of the process
// that made it: a depot opened to write removes it. The caller removes it too.
func (d *Depot) Temp() (string, error) {
	path, err := os.MkdirTemp(filepath.Join(d.path, tempFolder), "work-")
	if err != nil {
		return "", d.failure("cannot make a folder in", err)
	}
	return path, nil
}

// Objects counts the objects and the octets of all packs.
func (d *Depot) Objects() (n int, octets int64) {
	for _, p := range d.packs {
		octets += p.length
	}
	return len(d.places), octets
}

// writeSynced writes a small file durably.
func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (d *Depot) syncFolder(name string) error {
	f, err := os.Open(filepath.Join(d.path, name))
	if err != nil {
		return d.failure("cannot sync", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return d.failure("cannot sync", err)
	}
	return nil
}

// readUpTo reads a file of at most limit octets.
func readUpTo(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("it has over %d octets", limit)
	}
	return text, err
}
