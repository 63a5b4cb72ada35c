package imapd

import (
	"context"

	"yubin/internal/proto/imap"
)

// noop is NOOP and CHECK (RFC 9051 §6.1.2, RFC 3501 §6.4.1): every change is
// durable and every command tells what changed, so there is nothing to do.
func (s *session) noop(context.Context, *imap.Command) (status, error) { return ok("done") }

// capability is CAPABILITY (RFC 9051 §6.1.1).
func (s *session) capability(context.Context, *imap.Command) (status, error) {
	s.out.Capability(s.offers()...)
	return ok("that is all")
}

// logout is LOGOUT (RFC 9051 §6.1.3).
func (s *session) logout(_ context.Context, cmd *imap.Command) (status, error) {
	s.out.Status("", imap.BYE, "", "logging out")
	s.out.Status(cmd.Tag, imap.OK, "", "bye")
	return status{}, errLogout
}

// namespace is NAMESPACE (RFC 9051 §6.3.10).
func (s *session) namespace(context.Context, *imap.Command) (status, error) {
	s.out.Namespace()
	return ok("done")
}

// id is ID (RFC 2971). What the client says of itself is of no use to us.
func (s *session) id(context.Context, *imap.Command) (status, error) {
	fields := []imap.Field{{Name: "name", Value: "yubin"}}
	if v := s.srv.cfg.Version; v != "" {
		fields = append(fields, imap.Field{Name: "version", Value: v})
	}
	s.out.ID(fields...)
	return ok("done")
}

// enable is ENABLE (RFC 5161). Before a mailbox is selected or after makes no
// difference here (RFC 9051 §6.3.1 lets servers not check).
func (s *session) enable(_ context.Context, cmd *imap.Command) (status, error) {
	var enabled []string
	for _, name := range cmd.Args.(*imap.Enable).Capabilities {
		if name == "IMAP4REV2" && !s.rev2 {
			s.rev2, s.mode.UTF8 = true, true
			s.out.SetUTF8(true)
			enabled = append(enabled, "IMAP4rev2")
		}
	}
	s.out.Enabled(enabled...)
	return ok("done")
}
