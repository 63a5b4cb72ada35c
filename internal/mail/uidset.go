package mail

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
)

// UIDRange is the UIDs from First to Last, both included, First <= Last.
type UIDRange struct{ First, Last UID }

// UIDSet is a set of UIDs as ascending ranges that neither touch nor overlap.
// The zero value is the empty set.
type UIDSet []UIDRange

// UIDs makes a set of uids in any order.
func UIDs(uids ...UID) UIDSet {
	ranges := make([]UIDRange, len(uids))
	for i, u := range uids {
		ranges[i] = UIDRange{u, u}
	}
	return UIDRanges(ranges)
}

// UIDRanges makes a set of ranges, which may overlap and come in any order. It
// takes ranges over.
func UIDRanges(ranges []UIDRange) UIDSet {
	slices.SortFunc(ranges, func(a, b UIDRange) int { return cmp.Compare(a.First, b.First) })
	s := UIDSet(ranges[:0])
	for _, r := range ranges {
		if n := len(s); n > 0 && uint64(r.First) <= uint64(s[n-1].Last)+1 {
			s[n-1].Last = max(s[n-1].Last, r.Last)
			continue
		}
		s = append(s, r)
	}
	return s
}

// Add puts u into the set. Appending in ascending order costs O(1), another
// order up to as much as the set is long: UIDRanges makes one of many at once.
func (s *UIDSet) Add(u UID) { s.AddRange(u, u) }

// AddRange puts all from first to last, in either order, into the set.
func (s *UIDSet) AddRange(first, last UID) {
	if first > last {
		first, last = last, first
	}
	rs := *s
	if n := len(rs); n > 0 && first > rs[n-1].Last {
		if first == rs[n-1].Last+1 {
			rs[n-1].Last = last
		} else {
			*s = append(rs, UIDRange{first, last})
		}
		return
	}
	// i is the first range that touches or follows [first, last]; j is past the last that touches.
	i, _ := slices.BinarySearchFunc(rs, first, func(r UIDRange, u UID) int {
		if uint64(r.Last)+1 < uint64(u) {
			return -1
		}
		return 1
	})
	j := i
	for j < len(rs) && uint64(rs[j].First) <= uint64(last)+1 {
		first, last = min(first, rs[j].First), max(last, rs[j].Last)
		j++
	}
	*s = slices.Replace(rs, i, j, UIDRange{first, last})
}

// Contains reports whether u is in the set.
func (s UIDSet) Contains(u UID) bool {
	at, end := 0, len(s) // The first range that does not end before u is in s[at:end+1].
	for at < end {
		if middle := (at + end) / 2; s[middle].Last < u {
			at = middle + 1
		} else {
			end = middle
		}
	}
	return at < len(s) && s[at].First <= u
}

// Len counts the UIDs in the set.
func (s UIDSet) Len() int {
	n := 0
	for _, r := range s {
		n += int(r.Last-r.First) + 1
	}
	return n
}

// All yields the UIDs in ascending order.
func (s UIDSet) All() iter.Seq[UID] {
	return func(yield func(UID) bool) {
		for _, r := range s {
			for u := uint64(r.First); u <= uint64(r.Last); u++ {
				if !yield(UID(u)) {
					return
				}
			}
		}
	}
}

// Append appends the set in IMAP's form, "1:3,7"; nothing for the empty set.
func (s UIDSet) Append(dst []byte) []byte {
	for i, r := range s {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(r.First), 10)
		if r.Last > r.First {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(r.Last), 10)
		}
	}
	return dst
}

func (s UIDSet) String() string { return string(s.Append(nil)) }
