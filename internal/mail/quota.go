package mail

// Quota is how much an account may hold. Zero is no bound.
type Quota struct {
	Octets   int64 // of all messages
	Messages int64
}

// IsZero reports whether q bounds nothing.
func (q Quota) IsZero() bool { return q == Quota{} }

// Allows reports whether an account may hold so much.
func (q Quota) Allows(octets, messages int64) bool {
	return (q.Octets == 0 || octets <= q.Octets) && (q.Messages == 0 || messages <= q.Messages)
}

// Percent is how much of q is taken, by what is nearer to its bound; rounded
// down, and more than 100 if there is more than q allows.
func (q Quota) Percent(octets, messages int64) int64 {
	return max(percent(octets, q.Octets), percent(messages, q.Messages))
}

func percent(n, of int64) int64 {
	switch {
	case of <= 0:
		return 0
	case n > 1<<56: // times 100 is no int64
		return n / max(1, of/100)
	}
	return n * 100 / of
}
