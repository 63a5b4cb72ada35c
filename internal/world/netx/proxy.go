package netx

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"

	"yubin/internal/world/obs"
)

// Limits of those who speak for others.
const (
	proxyTimeout   = 10 * time.Second // for the header to be there
	maxProxyHeader = 4 << 10          // octets, with all that version 2 can have behind the addresses
	maxUnannounced = 1024             // connections of a listener of which no header was read yet
)

// announced is the client for whom a proxy speaks.
type announced struct {
	remote, local netip.AddrPort
}

// speaksForOthers reports whether a new connection from an address has to begin with a
// header of the PROXY protocol.
func (s *Server) speaksForOthers(from netip.Addr) bool {
	return slices.ContainsFunc(s.l.Proxies, func(p netip.Prefix) bool { return p.Contains(from) })
}

// announce waits for the header of a connection of a proxy and admits the client for
// whom it speaks.
func (s *Server) announce(ctx context.Context, c *Conn) {
	if s.unannounced.Add(1) > maxUnannounced {
		s.unannounced.Add(-1)
		s.refuseProxy(c, fmt.Errorf("more than %d connections of proxies have not said yet for whom they are", maxUnannounced))
		return
	}
	s.handlers.Go(func() {
		defer s.unannounced.Add(-1)
		stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
		client, err := readAnnounced(c.raw, proxyTimeout)
		if !stop() { // We stop.
			return
		}
		if err != nil {
			s.refuseProxy(c, err)
			return
		}
		c.client = client
		if s.turnsAway(c.raw, c.Remote().Addr()) {
			return
		}
		s.enter(ctx, c)
	})
}

// refuseProxy ends a connection of somebody who was to speak for others, and did not.
func (s *Server) refuseProxy(c *Conn, why error) {
	s.open.refused(accepted)
	if s.logsRefusal() {
		s.log.Warn("connection of a proxy refused", obs.Remote(c.Remote(), false), obs.KeyReason, why.Error(), obs.KeyCount, s.Stats().Refused)
	}
	_ = c.raw.Close()
}

// readAnnounced reads a header of the PROXY protocol, version 1 or 2, and no octet more. It is
// nil if the proxy speaks for itself (LOCAL), or does not know for whom (UNKNOWN).
func readAnnounced(raw net.Conn, timeout time.Duration) (*announced, error) {
	if err := raw.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	octets, err := readProxyHeader(raw)
	if err != nil {
		return nil, err
	}
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(octets)))
	if err != nil {
		return nil, fmt.Errorf("its header of the PROXY protocol cannot be read: %s", strings.TrimPrefix(err.Error(), "proxyproto: "))
	}
	if header.Command.IsLocal() || header.TransportProtocol.IsUnspec() {
		return nil, raw.SetReadDeadline(time.Time{})
	}
	from, to, ok := header.TCPAddrs()
	if !ok {
		return nil, errors.New("its header of the PROXY protocol is not about TCP")
	}
	a := &announced{addrPort(from), addrPort(to)}
	if addr := a.remote.Addr(); !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() {
		return nil, fmt.Errorf("it speaks for %s, which is no address of a client", addr)
	}
	return a, raw.SetReadDeadline(time.Time{})
}

var (
	proxySignature = []byte("\r\n\r\n\x00\r\nQUIT\n") // of version 2
	proxyWord      = []byte("PROXY ")                 // of version 1
)

const (
	proxyStart = 12  // octets that tell the versions apart: any header has more
	proxyLine  = 107 // octets of a header of version 1 at most, with its CRLF
)

// readProxyHeader reads the octets of a header.
func readProxyHeader(r io.Reader) ([]byte, error) {
	b := make([]byte, proxyStart, 256)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, unannouncedError(err)
	}
	switch {
	case bytes.Equal(b, proxySignature):
		b = b[:proxyStart+4]
		if _, err := io.ReadFull(r, b[proxyStart:]); err != nil {
			return nil, unannouncedError(err)
		}
		n := int(b[14])<<8 | int(b[15])
		if len(b)+n > maxProxyHeader {
			return nil, fmt.Errorf("its header of the PROXY protocol has more than %d octets", maxProxyHeader)
		}
		b = append(b, make([]byte, n)...)
		_, err := io.ReadFull(r, b[proxyStart+4:])
		return b, unannouncedError(err)
	case bytes.HasPrefix(b, proxyWord):
		for b[len(b)-1] != '\n' {
			if len(b) == proxyLine {
				return nil, errors.New("its header of the PROXY protocol has no end")
			}
			b = append(b, 0)
			if _, err := io.ReadFull(r, b[len(b)-1:]); err != nil {
				return nil, unannouncedError(err)
			}
		}
		return b, nil
	}
	return nil, errors.New("it began without a header of the PROXY protocol; its configuration has to send one (HAProxy: send-proxy-v2), or its address is not to be among proxies")
}

// unannouncedError says why a header was not read; nil for nil.
func unannouncedError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("it sent no header of the PROXY protocol: %w", err)
}
