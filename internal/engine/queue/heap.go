package queue

import "container/heap"

// siteHeap has sites in order, the first at hand. Each site keeps its place.
type siteHeap struct {
	sites  []*site
	place  func(*site) *int // -1 for one that is not in it
	before func(a, b *site) bool
}

// first returns the first site, or nil.
func (h *siteHeap) first() *site {
	if len(h.sites) == 0 {
		return nil
	}
	return h.sites[0]
}

// keep has s in the heap, at its place as it is now, or not.
func (h *siteHeap) keep(s *site, in bool) {
	switch at := *h.place(s); {
	case in && at < 0:
		heap.Push(h, s)
	case in:
		heap.Fix(h, at)
	case at >= 0:
		heap.Remove(h, at)
	}
}

// Len, Less, Swap, Push and Pop are for container/heap.

func (h *siteHeap) Len() int           { return len(h.sites) }
func (h *siteHeap) Less(i, j int) bool { return h.before(h.sites[i], h.sites[j]) }

func (h *siteHeap) Swap(i, j int) {
	h.sites[i], h.sites[j] = h.sites[j], h.sites[i]
	*h.place(h.sites[i]), *h.place(h.sites[j]) = i, j
}

func (h *siteHeap) Push(x any) {
	s := x.(*site)
	*h.place(s) = len(h.sites)
	h.sites = append(h.sites, s)
}

func (h *siteHeap) Pop() any {
	last := len(h.sites) - 1
	s := h.sites[last]
	h.sites[last] = nil
	h.sites = h.sites[:last]
	*h.place(s) = -1
	return s
}
