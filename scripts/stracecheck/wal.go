package main

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A WAL is a head and frames, each a head and a page (SQLite's file format,
// §4.1). The first numbers of a frame's head are the page's and, of the last
// frame of a transaction, the size of the database in pages after it.
const (
	walHead   = 32
	frameHead = 24
	pageSize  = 4096 // of sqldb
	frameSize = frameHead + pageSize
	maxWAL    = 64 << 20 // of this run; no more is believed
)

// frame is a page in the WAL, with the call that wrote its last octet.
type frame struct {
	call
	page   string
	commit bool // the last one of a transaction
}

func isWAL(name string) bool { return strings.HasSuffix(name, ".db-wal") }

// wal is the octets of the WAL as calls write them, in pieces of any size.
type wal struct {
	octets []byte
	frames []frame
}

func (w *wal) write(c call) error {
	data := c.Data()
	switch {
	case c.Name != "pwrite64":
		return fmt.Errorf("the WAL is written with %s; this checker knows pwrite64 only", c.Name)
	case int64(len(data)) < c.Result:
		return fmt.Errorf("line %d: strace kept %d of %d octets; this checker needs all", c.Begin, len(data), c.Result)
	case c.Last < 0 || c.Last+c.Result > maxWAL:
		return fmt.Errorf("line %d: the WAL is written at %d", c.Begin, c.Last)
	}
	start, end := int(c.Last), int(c.Last+max(c.Result, 0))
	if end > len(w.octets) {
		w.octets = append(w.octets, make([]byte, end-len(w.octets))...)
	}
	copy(w.octets[start:end], data)
	for k := max(0, (start-walHead)/frameSize); walHead+(k+1)*frameSize <= end; k++ {
		if walHead+(k+1)*frameSize > start {
			w.wrote(w.octets[walHead+k*frameSize:][:frameSize], c)
		}
	}
	return nil
}

// wrote takes a frame that is whole now. Page 0 is room that was made for later.
func (w *wal) wrote(octets []byte, c call) {
	if binary.BigEndian.Uint32(octets) != 0 {
		w.frames = append(w.frames, frame{c, string(octets[frameHead:]), binary.BigEndian.Uint32(octets[4:]) != 0})
	}
}
