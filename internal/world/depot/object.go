package depot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"slices"

	"yubin/internal/mail"
)

// Put keeps an object, unless it is there; written is how many octets that took
// on disk. The object is durable after Flush.
func (d *Depot) Put(octets []byte) (h Hash, written int64, err error) {
	if len(octets) > MaxObject {
		return h, 0, mail.Errorf(mail.Internal, "an object has over %d octets", MaxObject)
	}
	h = sha256.Sum256(octets)
	if d.Has(h) {
		return h, 0, nil
	}
	d.packed = d.encoder.EncodeAll(octets, d.packed[:0])
	stored := d.packed
	if len(stored) >= len(octets) {
		stored = octets
	}
	return h, int64(len(stored)), d.append(h, stored, len(octets))
}

// append adds an object to the pack being written.
func (d *Depot) append(h Hash, stored []byte, size int) (err error) {
	if d.open == nil {
		if d.open, err = d.newPack(); err != nil {
			return err
		}
	}
	if err := d.open.add(h, stored, size); err != nil {
		d.open.drop()
		d.open = nil
		return d.failure("cannot write in", err)
	}
	if d.open.full() {
		return d.Flush()
	}
	return nil
}

// Flush makes all that was put durable.
func (d *Depot) Flush() error {
	w := d.open
	if w == nil {
		return nil
	}
	d.open = nil
	return d.seal(w)
}

// Has reports whether an object is there, or was put and is not flushed yet.
func (d *Depot) Has(h Hash) bool {
	if _, ok := d.places[h]; ok {
		return true
	}
	if d.open == nil {
		return false
	}
	_, ok := d.open.placed[h]
	return ok
}

// Kept returns how many octets an object takes on disk; 0 if it is not there.
func (d *Depot) Kept(h Hash) int64 { return int64(d.places[h].kept) }

// Size returns how many octets an object has; 0 if it is not there.
func (d *Depot) Size(h Hash) int64 { return int64(d.places[h].size) }

// Get reads an object that is durable, and verifies it; the octets stand in
// buf if that is large enough. The error is *Damaged if they are not what was put.
func (d *Depot) Get(h Hash, buf []byte) ([]byte, error) {
	at, ok := d.places[h]
	if !ok {
		return nil, &Damaged{Object: h, Why: "it is missing"}
	}
	stored, err := d.stored(h, at)
	if err != nil {
		return nil, err
	}
	octets := append(buf[:0], stored...)
	if at.kept != at.size {
		octets, err = d.decoder.DecodeAll(stored, buf[:0])
	}
	if err != nil || len(octets) != int(at.size) || sha256.Sum256(octets) != h {
		return nil, &Damaged{h, d.dir.Path(at.pack.name), "its octets do not match their checksum"}
	}
	return octets, nil
}

// stored reads an object as it stands in its pack, into the common buffer.
func (d *Depot) stored(h Hash, at place) ([]byte, error) {
	p := at.pack
	if p.file == nil {
		d.limitOpen()
		f, err := d.dir.Open(p.name)
		if err != nil {
			return nil, d.failure("cannot read", err)
		}
		p.file = f
	}
	d.packed = append(d.packed[:0], make([]byte, at.kept)...)
	switch _, err := p.file.ReadAt(d.packed, int64(at.offset)); {
	case errors.Is(err, io.EOF):
		return nil, &Damaged{h, d.dir.Path(p.name), "the pack is cut short"}
	case err != nil:
		return nil, &Damaged{h, d.dir.Path(p.name), "the disk does not give it: " + err.Error()}
	}
	return d.packed, nil
}

// maxOpen is how many packs are open for reading at a time.
const maxOpen = 64

func (d *Depot) limitOpen() {
	n := 0
	for _, p := range d.packs {
		if p.file != nil {
			n++
		}
	}
	for _, p := range d.packs {
		if n >= maxOpen && p.file != nil {
			_ = p.close()
			n--
		}
	}
}

// All calls fn for every object, pack by pack, with the error that Get gives:
// nil if it is good. octets are valid until fn returns.
func (d *Depot) All(fn func(h Hash, octets []byte, err error) error) error {
	var buf []byte
	for _, p := range d.packs {
		for _, h := range p.hashes {
			if d.places[h].pack != p {
				continue // Another pack has it too.
			}
			octets, err := d.Get(h, buf)
			if err := fn(h, octets, err); err != nil {
				return err
			}
			if cap(octets) > cap(buf) {
				buf = octets
			}
		}
		_ = p.close()
	}
	return nil
}

// Keep removes the objects that are not wanted, as far as it is worth it: a
// pack goes when nothing of it is wanted, and is written anew when less than
// half of its octets are. freed is how many octets the folder lost.
func (d *Depot) Keep(wanted func(Hash) bool) (freed int64, err error) {
	var old []*pack
	var before, after int64
	for _, p := range d.packs {
		before += p.length
		if live := d.live(p, wanted); live*2 >= p.length {
			continue
		}
		old = append(old, p)
	}
	for _, p := range old {
		if err := d.repack(p, wanted); err != nil {
			return 0, err
		}
	}
	if err := d.Flush(); err != nil {
		return 0, err
	}
	if err := d.removePacks(old); err != nil {
		return 0, err
	}
	for _, p := range d.packs {
		after += p.length
	}
	return before - after, nil
}

// Forget writes the packs that have one of the objects anew without them, so
// that they are as if never put, and removes the packs that cannot be read.
func (d *Depot) Forget(unwanted func(Hash) bool) error {
	var old []*pack
	for _, p := range d.packs {
		if slices.ContainsFunc(p.hashes, unwanted) {
			old = append(old, p)
		}
	}
	for _, p := range old {
		if err := d.repack(p, func(h Hash) bool { return !unwanted(h) }); err != nil {
			return err
		}
	}
	if err := d.Flush(); err != nil {
		return err
	}
	for _, b := range d.broken {
		old = append(old, &pack{name: b.name})
	}
	d.broken = nil
	return d.removePacks(old)
}

// live is how many octets of a pack are wanted.
func (d *Depot) live(p *pack, wanted func(Hash) bool) (n int64) {
	for _, h := range p.hashes {
		if at := d.places[h]; at.pack == p && wanted(h) {
			n += int64(at.kept) + tableEntry
		}
	}
	return n
}

// repack puts what is wanted of a pack into the one being written.
func (d *Depot) repack(p *pack, wanted func(Hash) bool) error {
	for _, h := range p.hashes {
		at := d.places[h]
		if at.pack != p {
			continue
		}
		if !wanted(h) {
			delete(d.places, h)
			continue
		}
		stored, err := d.stored(h, at)
		if err != nil {
			return err
		}
		if err := d.append(h, bytes.Clone(stored), int(at.size)); err != nil {
			return err
		}
	}
	return nil
}

// removePacks removes packs of which everything wanted is elsewhere, durably.
func (d *Depot) removePacks(old []*pack) error {
	gone := make(map[*pack]bool)
	for _, p := range old {
		if err := d.step("pack is to go"); err != nil {
			return err
		}
		gone[p] = true
		_ = p.close()
		if d.written(p) {
			continue
		}
		if err := d.dir.Remove(p.name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return d.failure("cannot remove a file in", err)
		}
	}
	rest := d.packs[:0]
	for _, p := range d.packs {
		if !gone[p] {
			rest = append(rest, p)
		}
	}
	d.packs = rest
	return d.syncFolder(packFolder)
}

// written reports whether a pack of the same name, thus of the same content,
// was just written.
func (d *Depot) written(old *pack) bool {
	for _, p := range d.packs {
		if p != old && p.name == old.name {
			return true
		}
	}
	return false
}
