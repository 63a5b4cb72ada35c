package backup

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"yubin/internal/world/depot"
)

// piece is what an index says of one piece of a table.
type piece struct {
	hash         depot.Hash
	rows, octets int64
}

// pieceLen is how many octets of an index name one piece: its hash, how many rows it
// has, and how many octets, in 4 octets each, big-endian.
const pieceLen = len(depot.Hash{}) + 4 + 4

// indexWriter names the pieces of a table as they come. An index ends where the name
// of a piece says so, so that a piece that comes or goes changes one index.
type indexWriter struct {
	put   func([]byte) (depot.Hash, error)
	index []byte
	out   []depot.Hash
}

func (w *indexWriter) add(octets []byte, rows int) error {
	h, err := w.put(octets)
	if err != nil {
		return err
	}
	w.index = append(w.index, h[:]...)
	w.index = binary.BigEndian.AppendUint32(w.index, uint32(rows))
	w.index = binary.BigEndian.AppendUint32(w.index, uint32(len(octets)))
	if binary.BigEndian.Uint32(h[:])%indexEnds == 0 || len(w.index) >= indexLen*pieceLen {
		return w.close()
	}
	return nil
}

// close ends an index.
func (w *indexWriter) close() error {
	if len(w.index) == 0 {
		return nil
	}
	h, err := w.put(w.index)
	w.out = append(w.out, h)
	w.index = w.index[:0]
	return err
}

// pieces yields the pieces of a table in order. An error is one of reading an index;
// what is named by that index is left out. Together they are never more than t says.
func pieces(d *depot.Depot, t Table) iter.Seq2[piece, error] {
	return func(yield func(piece, error) bool) {
		rows, octets := int64(0), int64(0)
		for _, index := range t.Indexes {
			names, err := d.Get(index, nil)
			if n := len(names) / pieceLen; err == nil && (n == 0 || n > indexLen || n*pieceLen != len(names)) {
				err = &depot.Damaged{Object: index, Why: "it is no index"}
			}
			if err != nil {
				if !yield(piece{}, err) {
					return
				}
				continue
			}
			for ; len(names) > 0; names = names[pieceLen:] {
				p := piece{depot.Hash(names), int64(binary.BigEndian.Uint32(names[len(depot.Hash{}):])), int64(binary.BigEndian.Uint32(names[pieceLen-4:]))}
				rows += p.rows
				octets += p.octets
				if p.rows == 0 || p.octets > depot.MaxObject || rows > t.Rows || octets > t.Octets {
					yield(piece{}, &depot.Damaged{Object: index, Why: fmt.Sprintf("table %s has more than %d rows of %d octets", t.Name, t.Rows, t.Octets)})
					return
				}
				if !yield(p, nil) {
					return
				}
			}
		}
	}
}

// listWriter puts entries into lists. A list ends between two folders where
// that can be, so that what comes into one folder changes few lists.
type listWriter struct {
	put  func([]byte) (depot.Hash, error)
	text bytes.Buffer
	last string // folder of the entry before
	out  Files
}

func (w *listWriter) add(e entry) error {
	shelf := e.Path.Folder()
	if w.text.Len() >= listOctets || shelf != w.last && w.text.Len() >= shelfList {
		if err := w.close(); err != nil {
			return err
		}
	}
	w.last = shelf
	w.out.Count++
	w.out.Octets += e.Size
	line, err := json.Marshal(e)
	w.text.Write(append(line, '\n'))
	return err
}

func (w *listWriter) close() error {
	if w.text.Len() == 0 {
		return nil
	}
	h, err := w.put(w.text.Bytes())
	w.out.Lists = append(w.out.Lists, h)
	w.text.Reset()
	return err
}

// entries yields the files of a snapshot. An error is one of reading a list;
// the files it names are left out. Together they are never more than f says.
func entries(d *depot.Depot, f Files) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		count, octets := 0, int64(0)
		for _, list := range f.Lists {
			text, err := d.Get(list, nil)
			if err != nil && !yield(entry{}, err) {
				return
			}
			for line := range bytes.Lines(text) {
				var e entry
				why := ""
				if err := json.Unmarshal(line, &e); err != nil {
					why = fmt.Sprintf("it is no list of files: %v", err)
				} else if why = e.wrong(); why == "" {
					count++
					octets += e.Size
					if count > f.Count || octets > f.Octets {
						why = fmt.Sprintf("the snapshot has more than %d files of %d octets", f.Count, f.Octets)
					}
				}
				if why != "" {
					if !yield(entry{}, &depot.Damaged{Object: list, Why: why}) || count > f.Count {
						return
					}
					break
				}
				if !yield(e, nil) {
					return
				}
			}
		}
	}
}

// copyFile writes the pieces of a file.
func copyFile(d *depot.Depot, e entry, w io.Writer, wrote func(int64) error) error {
	var buf []byte
	for i, h := range e.Pieces {
		octets, err := d.Get(h, buf)
		if err != nil {
			return err
		}
		if want := min(filePiece, e.Size-int64(i)*filePiece); int64(len(octets)) != want {
			return &depot.Damaged{Object: h, Why: fmt.Sprintf("it has %d octets of %d of the file %s", len(octets), want, e.Path)}
		}
		buf = octets
		if _, err := w.Write(octets); err != nil {
			return err
		}
		if err := wrote(int64(len(octets))); err != nil {
			return err
		}
	}
	return nil
}
