package journal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// folder is the files, and the one that is being written.
type folder struct {
	path string
	max  int64 // octets of one file

	out  *os.File
	day  string
	size int64
	torn bool // the last line may be half there

	written int64 // octets since the last sweep
}

// file is one file of the folder.
type file struct {
	day    string // in UTC, as time.DateOnly
	number int
	size   int64
}

const suffix = ".jsonl"

func (f file) name() string { return fmt.Sprintf("%s-%04d%s", f.day, f.number, suffix) }

// parseName reads what name gives.
func parseName(name string) (f file, ok bool) {
	stem, ok := strings.CutSuffix(name, suffix)
	if !ok || len(stem) < len(time.DateOnly)+2 || stem[len(time.DateOnly)] != '-' {
		return f, false
	}
	f.day = stem[:len(time.DateOnly)]
	if _, err := time.Parse(time.DateOnly, f.day); err != nil {
		return f, false
	}
	n, err := strconv.ParseUint(stem[len(time.DateOnly)+1:], 10, 31)
	f.number = int(n)
	return f, err == nil && f.name() == name
}

// list gives the files, the oldest first. What is not ours is passed over.
func (d *folder) list() (files []file, err error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f, ok := parseName(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // Removed meanwhile.
		}
		if err != nil {
			return nil, err
		}
		f.size = info.Size()
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.number, b.number))
	})
	return files, nil
}

// write appends lines to the file of the day. What it cannot write is lost.
func (d *folder) write(now time.Time, lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if err := d.choose(now.UTC().Format(time.DateOnly)); err != nil {
		return err
	}
	if d.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := d.out.Write(lines)
	d.size += int64(n)
	d.written += int64(n)
	d.torn = err != nil && (n > 0 || d.torn)
	return err
}

// choose opens the file to write to.
func (d *folder) choose(day string) error {
	if d.out != nil && d.day == day && d.size < d.max {
		return nil
	}
	d.close()
	files, err := d.list()
	if errors.Is(err, fs.ErrNotExist) {
		err = os.MkdirAll(d.path, 0o700)
	}
	if err != nil {
		return err
	}
	f := file{day: day, number: 1}
	for _, old := range files {
		if old.day == day {
			f = old
		}
	}
	if f.size >= d.max {
		f.number++
	}
	return d.open(f)
}

func (d *folder) open(f file) error {
	out, err := os.OpenFile(filepath.Join(d.path, f.name()), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	info, err := out.Stat()
	if err != nil {
		_ = out.Close()
		return err
	}
	d.out, d.day, d.size = out, f.day, info.Size()
	var last [1]byte
	if d.size > 0 {
		_, err = out.ReadAt(last[:], d.size-1)
	}
	d.torn = d.size > 0 && (err != nil || last[0] != '\n')
	return nil
}

func (d *folder) close() {
	if d.out != nil {
		_ = d.out.Close() // Nothing of it was to be durable.
		d.out = nil
	}
}

// sweep removes the files of days that ended before then, and the oldest of
// all while they are over the limit for what they have. The last one goes too
// if it alone is over it; files are kept small enough for that to be rare.
func (d *folder) sweep(before time.Time, limitOf func(now int64) int64) error {
	files, err := d.list()
	if err != nil {
		return err
	}
	var total int64
	for _, f := range files {
		total += f.size
	}
	d.written = 0
	limit := limitOf(total)
	d.max = max(minFile, min(maxFile, limit/4))
	last := before.UTC().Format(time.DateOnly)
	for i, f := range files {
		if f.day >= last && total <= limit {
			continue
		}
		if i == len(files)-1 {
			d.close() // It may be the one that is written.
		}
		if err := os.Remove(filepath.Join(d.path, f.name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= f.size
	}
	return nil
}

func countLines(lines []byte) int64 { return int64(bytes.Count(lines, []byte{'\n'})) }
