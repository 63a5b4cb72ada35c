package junk

import (
	"encoding/binary"
	"errors"
)

// A model is saved in pages, each a row of its own: those that are Dirty, by AppendPage, and
// read again by SetPage. Page Head has the counts and what all messages share; the others, from 0, have slots.
// A page of which nothing is known is empty, and need not be kept.
//
// Where several share the rows, each takes the page that is there, applies its lessons to it and writes it back, under a lock: a
// Site or Account that has some pages only costs only those.

// Head is the page with the counts of a model.
const Head = -1

const pageVersion = 1

// ErrPage says that octets are no page, or not of this version.
var ErrPage = errors.New("junk: not an encoded page of a model")

// Dirty returns the pages that changed since they were last Clean, in order; Head is the first.
func (s *Site) Dirty() []int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return dirtyPages(s.counts, s.dirty[:])
}

// Dirty returns the pages that changed since they were last Clean, in order; Head is the first.
func (a *Account) Dirty() []int {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return dirtyPages(a.counts, a.dirty[:])
}

func dirtyPages(head bool, dirty []bool) (pages []int) {
	if head {
		pages = append(pages, Head)
	}
	for i, d := range dirty {
		if d {
			pages = append(pages, i)
		}
	}
	return pages
}

// AppendPage appends a page to dst, and takes it to be saved: it is dirty again when it changes again, or by
// MarkDirty if it could not be saved.
func (s *Site) AppendPage(dst []byte, page int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if page == Head {
		s.counts = false
		return appendSlots(dst, []slot{s.bias})
	}
	s.dirty[page] = false
	if s.pages[page] == nil {
		return dst
	}
	return appendSlots(dst, s.pages[page][:])
}

// AppendPage appends a page to dst, and takes it to be saved: it is dirty again when it changes again, or by
// MarkDirty if it could not be saved.
func (a *Account) AppendPage(dst []byte, page int) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if page == Head {
		a.counts = false
		return appendSlots(dst, []slot{a.bias})
	}
	a.dirty[page] = false
	if a.pages[page] == nil {
		return dst
	}
	n, last := len(dst), 0
	dst = append(dst, pageVersion)
	for i, w := range a.pages[page] {
		if w != 0 {
			dst = binary.AppendVarint(binary.AppendUvarint(dst, uint64(i-last)), int64(w))
			last = i
		}
	}
	if len(dst) == n+1 {
		return dst[:n]
	}
	return dst
}

// MarkDirty says that a page is not saved.
func (s *Site) MarkDirty(page int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if page == Head {
		s.counts = true
	} else {
		s.dirty[page] = true
	}
}

// MarkDirty says that a page is not saved.
func (a *Account) MarkDirty(page int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if page == Head {
		a.counts = true
	} else {
		a.dirty[page] = true
	}
}

// SetPage makes a page what AppendPage wrote. The error is ErrPage, and then nothing changed.
func (s *Site) SetPage(page int, b []byte) error {
	if page < Head || page >= SitePages {
		return ErrPage
	}
	slots := make([]slot, 1)
	if page != Head {
		slots = make([]slot, pageSlots)
	}
	if !parseSlots(b, slots) {
		return ErrPage
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case page == Head:
		s.bias = slots[0]
		s.worths()
		return nil
	case len(b) == 0:
		s.pages[page] = nil
	default:
		s.pages[page] = (*[pageSlots]slot)(slots)
	}
	for i, k := range slots {
		s.gist(uint32(page<<pageBits+i), k)
	}
	return nil
}

// SetPage makes a page what AppendPage wrote. The error is ErrPage, and then nothing changed.
func (a *Account) SetPage(page int, b []byte) error {
	if page < Head || page >= AccountPages {
		return ErrPage
	}
	var head [1]slot
	var weights *[pageSlots]int32
	switch {
	case page == Head:
		if !parseSlots(b, head[:]) {
			return ErrPage
		}
	case len(b) > 0:
		if b[0] != pageVersion {
			return ErrPage
		}
		weights = new([pageSlots]int32)
		r := reader{b: b[1:]}
		for at := uint32(0); len(r.b) > 0; {
			if at += r.number(); r.bad || at >= pageSlots {
				return ErrPage
			}
			weights[at] = r.signed()
		}
		if r.bad {
			return ErrPage
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if page == Head {
		a.bias = head[0]
	} else {
		a.pages[page] = weights
	}
	return nil
}

// appendSlots appends a page of slots: pageVersion, then for each slot of which something is
// known five varints: how far it is from the one before, and what it has.
func appendSlots(dst []byte, slots []slot) []byte {
	n, last := len(dst), 0
	dst = append(dst, pageVersion)
	for i, k := range slots {
		if k == (slot{}) {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(i-last))
		dst = binary.AppendVarint(dst, int64(k.weight))
		dst = binary.AppendUvarint(dst, uint64(k.gradient))
		dst = binary.AppendUvarint(dst, uint64(k.junk))
		dst = binary.AppendUvarint(dst, uint64(k.ham))
		last = i
	}
	if len(dst) == n+1 {
		return dst[:n]
	}
	return dst
}

func parseSlots(b []byte, slots []slot) bool {
	if len(b) == 0 {
		return true
	}
	if b[0] != pageVersion {
		return false
	}
	r := reader{b: b[1:]}
	for at := uint32(0); len(r.b) > 0; {
		if at += r.number(); r.bad || at >= uint32(len(slots)) {
			return false
		}
		slots[at] = slot{weight: r.signed(), gradient: r.number(), junk: r.number(), ham: r.number()}
	}
	return !r.bad
}
