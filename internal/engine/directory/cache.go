package directory

import "sync"

// bounded is a map that holds at most size entries and forgets those that were
// not used for longest, roughly: when the young half is full it becomes the old
// half, and what was in the old half is gone. Not safe for concurrent use.
type bounded[K comparable, V any] struct {
	half       int
	young, old map[K]V
}

func newBounded[K comparable, V any](size int) bounded[K, V] {
	return bounded[K, V]{half: max(1, size/2), young: make(map[K]V)}
}

// get returns the value of k and keeps it from being forgotten soon.
func (b *bounded[K, V]) get(k K) (V, bool) {
	v, ok := b.young[k]
	if ok {
		return v, true
	}
	if v, ok = b.old[k]; ok {
		b.put(k, v)
	}
	return v, ok
}

func (b *bounded[K, V]) put(k K, v V) {
	if _, there := b.young[k]; !there && len(b.young) >= b.half {
		b.old, b.young = b.young, make(map[K]V, b.half)
	}
	b.young[k] = v
}

func (b *bounded[K, V]) len() int { return len(b.young) + len(b.old) }

// cache is a bounded memory of what the database says. Readers note the epoch
// before they read and give it to put: what was read before a change must not
// be remembered after it.
type cache[K comparable, V any] struct {
	mu    sync.RWMutex
	size  int
	epoch uint64
	m     bounded[K, V]
}

func newCache[K comparable, V any](size int) *cache[K, V] {
	return &cache[K, V]{size: size, m: newBounded[K, V](size)}
}

func (c *cache[K, V]) get(k K) (v V, epoch uint64, ok bool) {
	c.mu.RLock()
	v, ok = c.m.young[k]
	epoch, aged := c.epoch, len(c.m.old) > 0
	c.mu.RUnlock()
	if ok || !aged {
		return v, epoch, ok
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok = c.m.get(k)
	return v, c.epoch, ok
}

func (c *cache[K, V]) put(k K, v V, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch == c.epoch {
		c.m.put(k, v)
	}
}

// forget forgets k, and all that is being read now.
func (c *cache[K, V]) forget(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	delete(c.m.young, k)
	delete(c.m.old, k)
}

// clear forgets all, and all that is being read now.
func (c *cache[K, V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	c.m = newBounded[K, V](c.size)
}
