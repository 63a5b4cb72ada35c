package store

import (
	"math"
	"slices"
	"testing"

	"yubin/internal/mail"
)

func bundleMembers() []member {
	return []member{
		{state: state{UID: 1}},
		{state: state{UID: 300, Flags: mail.Seen | mail.Draft, ModSeq: 1 << 40, words: wordsOf(0, 9)}, email: 7, blob: 9, size: 4000, lacking: 3, ascii: -1,
			received: 1_700_000_000, zone: -210, saved: 1_700_000_005},
		{state: state{UID: 301, words: wordsOf(0, 9)}, received: 1_700_000_000, zone: 840, saved: 5},
		{state: state{UID: maxUID, Flags: 255, ModSeq: math.MaxInt64, words: wordsOf(MaxBoxKeywords - 1)},
			email: math.MaxInt64, blob: math.MaxInt64, size: math.MaxInt64, lacking: math.MaxInt64, ascii: math.MaxInt64, received: -62_135_596_800, zone: math.MinInt64, saved: math.MinInt64},
	}
}

func bundleOf(list []member) []byte {
	octets, _ := pack([]byte{bundleFormat}, list, math.MaxInt)
	return octets
}

// TestBundle writes members and reads them again, and reads no part of them as
// if it were whole.
func TestBundle(t *testing.T) {
	list := bundleMembers()
	octets := bundleOf(list)
	got, err := appendMembers(nil, place(3, 1), octets)
	if err != nil || !slices.Equal(got, list) {
		t.Fatalf("read %+v, %v, want %+v", got, err, list)
	}
	for n := range len(octets) {
		got, err := appendMembers(nil, place(3, 1), octets[:n])
		if err == nil && n != len(bundleOf(list[:len(got)])) {
			t.Errorf("%d of %d octets were read as %d members", n, len(octets), len(got))
		}
		if len(got) > 0 && !slices.Equal(got, list[:len(got)]) {
			t.Errorf("%d octets: %+v", n, got)
		}
	}
	octets[0]++
	if _, err := appendMembers(nil, place(3, 1), octets); mail.KindOf(err) != mail.Internal || err == nil {
		t.Errorf("a later format was read: %v", err)
	}
	if id := placeMailbox(place(1<<30, maxUID)); id != 1<<30 {
		t.Errorf("mailbox %d", id)
	}
}

// FuzzBundle reads anything as a bundle: what is read is written again.
func FuzzBundle(f *testing.F) {
	f.Add(bundleOf(bundleMembers()))
	f.Add([]byte{bundleFormat})
	f.Fuzz(func(t *testing.T, octets []byte) {
		list, err := appendMembers(nil, place(1, 1), octets)
		if err != nil {
			return
		}
		again, err := appendMembers(nil, place(1, 1), bundleOf(list))
		if err != nil || !slices.Equal(again, list) {
			t.Fatalf("read %+v, then %+v, %v", list, again, err)
		}
	})
}

func TestSpans(t *testing.T) {
	set := mail.UIDSet{{First: 1, Last: 4}, {First: 10, Last: 10}, {First: 10 + spanGap + 1, Last: 500}}
	list := spans(set)
	if len(list) != 2 || list[0].UIDRange != (mail.UIDRange{First: 1, Last: 10}) || list[1].First != 10+spanGap+1 {
		t.Fatalf("spans %+v", list)
	}
	var got []mail.UID
	for uid := mail.UID(1); uid < 600; uid++ {
		if list[0].has(uid) || list[1].has(uid) {
			got = append(got, uid)
		}
	}
	if want := slices.Collect(set.All()); !slices.Equal(got, want) {
		t.Errorf("members %v, want %v", got, want)
	}
}
