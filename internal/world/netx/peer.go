package netx

import "syscall"

// Peer is what is known of the other end of a connection.
type Peer uint8

// What the peer can be.
const (
	Here Peer = iota
	// Silent says that it sends no more. It may have left, or only wait for
	// answers; one who has left is Gone soon after something is sent.
	Silent
	Gone
)

// Peer looks whether the peer is still there, without reading or waiting. It is
// Here where the system does not say.
func (c *Conn) Peer() Peer {
	s, ok := c.raw.(syscall.Conn)
	if !ok {
		return Here
	}
	socket, err := s.SyscallConn()
	if err != nil {
		return Gone
	}
	return peerOf(socket)
}
