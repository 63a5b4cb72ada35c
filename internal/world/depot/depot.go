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
// # A depot that somebody else wrote
//
// Nothing that stands in a depot is believed. All work goes through one open
// folder (files.Folder): links and FIFOs in it are not followed. An object is
// unpacked to at most MaxObject octets, whatever its table says. A name that a
// record gives to a file is a Name, which is checked when it is read.
//
// It deliberately does not encrypt, and does not know what the objects are.
package depot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

// Limits and sizes.
const (
	MaxObject  = 4 << 20  // octets of one object
	PackSize   = 32 << 20 // octets at which a pack is closed
	maxTable   = 1 << 20  // objects in one pack
	maxPack    = PackSize + MaxObject + maxTable*tableEntry + trailer
	MaxRecord  = 64 << 20 // octets of one record
	MaxRecords = 10000    // records in one folder
)

// What stands in the folder.
const (
	markerFile   = "yubin-backup"
	markerText   = "yubin backup, format 1\n"
	markerHead   = "yubin backup, "
	maxMarker    = 1 << 10
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

// Damaged says that an object, or a record, is not there as it was put.
type Damaged struct {
	Object Hash   // zero for a record
	Pack   string // its path, or the record's; "" if no pack has the object
	Why    string
}

func (d *Damaged) Error() string {
	if d.Object == (Hash{}) {
		return strings.TrimPrefix(d.Pack+": "+d.Why, ": ")
	}
	if d.Pack == "" {
		return fmt.Sprintf("object %.16s…: %s", d.Object, d.Why)
	}
	return fmt.Sprintf("object %.16s… in %s: %s", d.Object, d.Pack, d.Why)
}

// Options say how to open a depot.
type Options struct {
	Place *files.Place
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
	dir    *files.Folder
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
	d := &Depot{path: o.Place.Path(), step: o.Step, places: make(map[Hash]place)}
	if d.step == nil {
		d.step = func(string) error { return nil }
	}
	err := d.prepare(o)
	if err == nil {
		err = d.take(o.Write)
	}
	if err == nil {
		err = d.load(o.Write)
	}
	if err != nil {
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
	if d.dir != nil {
		err = errors.Join(err, d.dir.Close())
	}
	return err
}

// Path returns where the depot is.
func (d *Depot) Path() string { return d.path }

// prepare makes sure that the folder is a depot that we can use.
func (d *Depot) prepare(o Options) (err error) {
	if o.Make && o.Write {
		if d.dir, err = o.Place.Make(); err != nil {
			return d.failure("cannot make", err)
		}
	} else {
		d.dir, err = o.Place.Open()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return mail.Errorf(mail.NotFound, "there is no backup at %s", d.path)
	case errors.Is(err, syscall.ENOTDIR):
		return notOurs(d.path)
	case err != nil:
		return d.failure("cannot read", err)
	}
	text, err := d.dir.Read(markerFile, maxMarker)
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
	return notOurs(d.path)
}

func notOurs(path string) error {
	return mail.Errorf(mail.Invalid, "%s is not a backup of yubin", path)
}

// create makes an empty folder a depot; the marker comes last.
func (d *Depot) create() error {
	if there, err := d.dir.List("."); err != nil || !onlyOurs(there) {
		return mail.Errorf(mail.Invalid, "%s is not a backup of yubin and not empty; choose another folder", d.path)
	}
	_ = d.dir.Restrict(".") // A file system without modes has none to set.
	for _, name := range []string{tempFolder, packFolder, recordFolder} {
		if err := d.dir.MakeFolder(name); err != nil && !errors.Is(err, fs.ErrExist) {
			return d.failure("cannot make a folder in", err)
		}
	}
	if err := d.writeSynced(markerFile, []byte(markerText)); err != nil {
		return d.failure("cannot write in", err)
	}
	return d.syncFolder(".")
}

// onlyOurs reports whether a folder has nothing, or what a create that was cut
// short left.
func onlyOurs(there []fs.DirEntry) bool {
	for _, e := range there {
		if n := e.Name(); n != tempFolder && n != packFolder && n != recordFolder && n != "lost+found" {
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
	entries, err := d.dir.List(packFolder)
	if err != nil {
		return d.failure("cannot read", err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
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
	left, err := d.dir.List(tempFolder)
	if err != nil {
		return d.failure("cannot read", err)
	}
	for _, e := range left {
		if err := d.dir.RemoveAll(tempFolder + "/" + e.Name()); err != nil {
			return d.failure("cannot clear", err)
		}
	}
	return nil
}

// brokenPack is a pack that cannot be read at all.
type brokenPack struct{ name, why string }

// Faults tells which packs cannot be read at all. Their objects are as if not
// there, and are put anew by whoever has them.
func (d *Depot) Faults() (list []string) {
	for _, b := range d.broken {
		list = append(list, d.dir.Path(b.name)+": "+b.why)
	}
	return list
}

// Temp makes a folder for files that are nobody's after Close of the process
// that made it: a depot opened to write removes it. The caller removes it too. The
// depot is one that this process has open itself.
func (d *Depot) Temp() (string, error) {
	if d.dir.Root() == nil || !d.dir.IsFolder(tempFolder) {
		return "", mail.Errorf(mail.Conflict, "%s has no folder %s; another one can be named with --scratch", d.path, tempFolder)
	}
	path, err := os.MkdirTemp(d.dir.Path(tempFolder), "work-")
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
func (d *Depot) writeSynced(name string, text []byte) error {
	f, err := d.dir.Create(name)
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
	if err := d.dir.Sync(name); err != nil {
		return d.failure("cannot sync", err)
	}
	return nil
}
