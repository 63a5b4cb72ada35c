package backup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"yubin/internal/world/depot"
)

// streamWriter names the pieces of a stream as they come.
type streamWriter struct {
	put   func([]byte) (depot.Hash, error)
	index []byte
	out   Stream
}

func (w *streamWriter) add(piece []byte) error {
	h, err := w.put(piece)
	if err != nil {
		return err
	}
	w.out.Size += int64(len(piece))
	w.index = append(w.index, h[:]...)
	if len(w.index) == indexLen*len(h) {
		return w.close()
	}
	return nil
}

// close ends an index.
func (w *streamWriter) close() error {
	if len(w.index) == 0 {
		return nil
	}
	h, err := w.put(w.index)
	w.out.Indexes = append(w.out.Indexes, h)
	w.index = w.index[:0]
	return err
}

// pieces yields the names of the pieces of a stream in order. An error is one
// of reading an index; what is named by that index is left out.
func pieces(d *depot.Depot, s Stream) iter.Seq2[depot.Hash, error] {
	return func(yield func(depot.Hash, error) bool) {
		for _, index := range s.Indexes {
			names, err := d.Get(index, nil)
			if n := len(names) / len(depot.Hash{}); err == nil && (n > indexLen || n*len(depot.Hash{}) != len(names)) {
				err = &depot.Damaged{Object: index, Why: "it is no index"}
			}
			if err != nil {
				if !yield(depot.Hash{}, err) {
					return
				}
				continue
			}
			for ; len(names) > 0; names = names[len(depot.Hash{}):] {
				if !yield(depot.Hash(names[:len(depot.Hash{})]), nil) {
					return
				}
			}
		}
	}
}

// copyStream writes a stream to where it belongs in w. lost hears of pieces
// that are damaged, which are left out, and may return an error to end it.
func copyStream(d *depot.Depot, s Stream, w io.WriterAt, wrote func(int64) error, lost func(offset int64, err error) error) error {
	var buf []byte
	for at, index := range s.Indexes {
		offset := int64(at) * indexLen * s.Piece
		for h, err := range pieces(d, Stream{Indexes: []depot.Hash{index}}) {
			if err == nil {
				buf, err = d.Get(h, buf)
			}
			if err == nil && int64(len(buf)) != min(s.Piece, s.Size-offset) {
				err = &depot.Damaged{Object: h, Why: fmt.Sprintf("it has %d octets, which is not a piece of the database", len(buf))}
			}
			if err != nil {
				err = lost(offset, err)
			} else {
				_, err = w.WriteAt(buf, offset)
			}
			if err != nil {
				return err
			}
			offset += s.Piece
			if err := wrote(min(s.Piece, s.Size)); err != nil {
				return err
			}
		}
	}
	return nil
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
