package journal

import (
	"bytes"
	"io"
	"os"
	"time"
)

// clockSlack is how far the times of lines may be out of their order.
const clockSlack = time.Hour

// probeSize is what is read to learn the time at a place of a file, in octets.
const probeSize = 64 << 10

// bounds gives a part of a file that has all lines between s.since and s.until.
// It begins and ends with a line.
func (s *search) bounds(f *os.File) (begin, end int64, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, 0, err
	}
	end = size
	if !s.until.IsZero() {
		if _, end, err = halve(f, size, s.until.Add(clockSlack), true); err != nil {
			return 0, 0, err
		}
		if end, err = lineStart(f, end, size); err != nil {
			return 0, 0, err
		}
	}
	if !s.since.IsZero() {
		begin, _, err = halve(f, size, s.since.Add(-clockSlack), false)
	}
	return min(begin, end), end, err
}

// halve finds a short part of a file before which no line is later than a time
// and after which all are. low is the beginning of a line. Where no time can be
// read the lines are thought to be earlier or, if earlier is not set, later.
func halve(f *os.File, size int64, at time.Time, earlier bool) (low, high int64, err error) {
	want := at.UnixMilli()
	high = size
	for high-low > 2*probeSize {
		middle := low + (high-low)/2
		start, ms, err := lineAt(f, middle)
		switch {
		case err != nil:
			return 0, 0, err
		case start < 0 && earlier:
			low = middle
		case start < 0 || ms > want:
			high = middle
		default:
			low = start
		}
	}
	return low, high, nil
}

// lineAt gives the first line that begins after a place, and its time; -1 if
// there is none near.
func lineAt(f *os.File, place int64) (start, ms int64, err error) {
	var buf [probeSize]byte
	n, err := f.ReadAt(buf[:], place)
	if err != nil && err != io.EOF {
		return 0, 0, err
	}
	for text, at := buf[:n], place; ; {
		i := bytes.IndexByte(text, '\n') + 1
		if i == 0 || i == len(text) {
			return -1, 0, nil
		}
		text, at = text[i:], at+int64(i)
		if ms, ok := timeOf(text); ok {
			return at, ms, nil
		}
	}
}

// timeOf reads the time at the beginning of a line.
func timeOf(text []byte) (ms int64, ok bool) {
	text, ok = bytes.CutPrefix(text, []byte(`{"t":`))
	for i, c := range text {
		if c < '0' || c > '9' || i > 15 {
			return ms, ok && i > 0 && c == ','
		}
		ms = ms*10 + int64(c-'0')
	}
	return 0, false
}

// lineStart gives where the first line begins that does so at or after a place.
func lineStart(f *os.File, place, size int64) (int64, error) {
	var buf [probeSize]byte
	for place > 0 && place < size {
		n, err := f.ReadAt(buf[:], place-1)
		if err != nil && err != io.EOF || n == 0 {
			return size, err
		}
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return place + int64(i), nil
		}
		place += int64(n)
	}
	return min(place, size), nil
}
