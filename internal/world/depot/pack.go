package depot

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"yubin/internal/mail"
	"yubin/internal/world/files"
)

const (
	packMagic  = "yubinpk1"
	tableEntry = sha256.Size + 3*4
	trailer    = 4 + sha256.Size + len(packMagic)
	packName   = 16 // octets of the table's hash in the name
)

// pack is a complete pack.
type pack struct {
	name   string // below the depot
	length int64  // octets of the file
	hashes []Hash
	file   *os.File // nil until it is read
}

func (p *pack) close() error {
	if p.file == nil {
		return nil
	}
	f := p.file
	p.file = nil
	return f.Close()
}

// loadPack reads the table of a pack. A damaged one is noted, not an error.
func (d *Depot) loadPack(name string) error {
	p := &pack{name: packFolder + "/" + name}
	table, err := p.readTable(d.dir)
	if bad := (*badPack)(nil); errors.As(err, &bad) {
		d.broken = append(d.broken, brokenPack{p.name, bad.why})
		return nil
	}
	if err != nil {
		return d.failure("cannot read", err)
	}
	for ; len(table) > 0; table = table[tableEntry:] {
		h, at := parseEntry(table)
		at.pack = p
		if uint64(at.offset)+uint64(at.kept) > uint64(p.length) || at.size > MaxObject || at.kept > at.size {
			d.forget(p)
			d.broken = append(d.broken, brokenPack{p.name, "its table is not right"})
			return nil
		}
		p.hashes = append(p.hashes, h)
		if _, known := d.places[h]; !known {
			d.places[h] = at
		}
	}
	d.packs = append(d.packs, p)
	return nil
}

// forget takes the objects of a pack out of those that are there.
func (d *Depot) forget(p *pack) {
	for _, h := range p.hashes {
		if d.places[h].pack == p {
			delete(d.places, h)
		}
	}
}

// badPack says that a pack is not one.
type badPack struct{ why string }

func (b *badPack) Error() string { return b.why }

func (p *pack) readTable(dir *files.Folder) ([]byte, error) {
	f, err := dir.Open(p.name)
	if err != nil && mail.KindOf(err) == mail.Forbidden {
		return nil, &badPack{"it is no regular file"}
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p.length = info.Size()
	if p.length < int64(len(packMagic)+trailer) {
		return nil, &badPack{"it is cut short"}
	}
	if p.length > int64(maxPack) {
		return nil, &badPack{fmt.Sprintf("it has over %d octets", int64(maxPack))}
	}
	var end [trailer]byte
	if _, err := f.ReadAt(end[:], p.length-int64(trailer)); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(end[:]))
	if string(end[4+sha256.Size:]) != packMagic || n > maxTable || n*tableEntry > p.length-int64(trailer) {
		return nil, &badPack{"it does not end as a pack does"}
	}
	table := make([]byte, n*tableEntry)
	if _, err := f.ReadAt(table, p.length-int64(trailer+len(table))); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(table); !bytes.Equal(sum[:], end[4:4+sha256.Size]) {
		return nil, &badPack{"its table does not match its checksum"}
	}
	return table, nil
}

func parseEntry(b []byte) (h Hash, at place) {
	n := copy(h[:], b)
	at.offset = binary.BigEndian.Uint32(b[n:])
	at.kept = binary.BigEndian.Uint32(b[n+4:])
	at.size = binary.BigEndian.Uint32(b[n+8:])
	return h, at
}

// packWriter is a pack being written.
type packWriter struct {
	dir    *files.Folder
	file   *os.File
	name   string // below the depot
	offset uint32
	table  []byte
	placed map[Hash]place // pack is nil yet
}

func (d *Depot) newPack() (*packWriter, error) {
	name := tempFolder + "/pack-" + rand.Text()
	f, err := d.dir.Create(name)
	if err != nil {
		return nil, d.failure("cannot write in", err)
	}
	w := &packWriter{dir: d.dir, file: f, name: name, placed: make(map[Hash]place)}
	if err := w.write([]byte(packMagic)); err != nil {
		w.drop()
		return nil, d.failure("cannot write in", err)
	}
	return w, nil
}

func (w *packWriter) write(b []byte) error {
	n, err := w.file.Write(b)
	w.offset += uint32(n)
	return err
}

// add appends an object whose octets are kept as stored.
func (w *packWriter) add(h Hash, stored []byte, size int) error {
	at := place{offset: w.offset, kept: uint32(len(stored)), size: uint32(size)}
	if err := w.write(stored); err != nil {
		return err
	}
	w.table = append(w.table, h[:]...)
	w.table = binary.BigEndian.AppendUint32(w.table, at.offset)
	w.table = binary.BigEndian.AppendUint32(w.table, at.kept)
	w.table = binary.BigEndian.AppendUint32(w.table, at.size)
	w.placed[h] = at
	return nil
}

// full reports whether the pack should be closed.
func (w *packWriter) full() bool {
	return w.offset >= PackSize || len(w.table) >= maxTable*tableEntry
}

func (w *packWriter) drop() {
	_ = w.file.Close()
	_ = w.dir.Remove(w.name)
}

// seal makes the pack durable and its objects known.
func (d *Depot) seal(w *packWriter) error {
	sum := sha256.Sum256(w.table)
	end := binary.BigEndian.AppendUint32(nil, uint32(len(w.table)/tableEntry))
	end = append(append(end, sum[:]...), packMagic...)
	err := w.write(append(w.table, end...))
	if err == nil {
		err = w.file.Sync()
	}
	err = errors.Join(err, w.file.Close())
	if err != nil {
		_ = d.dir.Remove(w.name)
		return d.failure("cannot write in", err)
	}
	if err := d.step("pack synced"); err != nil {
		return err
	}
	p := &pack{name: packFolder + "/" + hex.EncodeToString(sum[:packName]) + packEnding, length: int64(w.offset)}
	if err := d.dir.Rename(w.name, p.name); err != nil {
		return d.failure("cannot write in", err)
	}
	if err := d.step("pack named"); err != nil {
		return err
	}
	if err := d.syncFolder(packFolder); err != nil {
		return err
	}
	d.packs = append(d.packs, p)
	for h, at := range w.placed {
		at.pack = p
		d.places[h] = at
		p.hashes = append(p.hashes, h)
	}
	return d.step("pack kept")
}
