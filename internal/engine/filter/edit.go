package filter

import (
	"bytes"
	"io"
	"strings"

	"yubin/internal/engine/intake"
	"yubin/internal/mail"
	"yubin/internal/message"
)

// editHeader returns a header with changes made. A change that cannot be made, for the
// name is none, is passed over. The empty line at the end stays as it is.
func editHeader(header []byte, changes []Change) []byte {
	before := message.BeforeFields(header)
	var fields [][]byte
	size := len(before)
	for f := range message.Fields(header) {
		fields = append(fields, f.Raw)
		size += len(f.Raw)
	}
	after := header[min(size, len(header)):]
	for _, c := range changes {
		if !isFieldName(c.Name) {
			continue
		}
		fields = c.do(fields)
	}
	out := append([]byte{}, before...)
	for _, f := range fields {
		out = append(out, f...)
		if !bytes.HasSuffix(f, []byte("\n")) { // The last of a message that ends in it.
			out = append(out, "\r\n"...)
		}
	}
	return append(out, after...)
}

// do makes one change.
func (c Change) do(fields [][]byte) [][]byte {
	raw := c.raw()
	switch c.Kind {
	case InsertField:
		at := min(max(c.Index, 0), len(fields))
		return append(fields[:at:at], append([][]byte{raw}, fields[at:]...)...)
	case SetField:
		for i, n := 0, max(c.Index, 1); i < len(fields); i++ {
			if !isNamed(fields[i], c.Name) {
				continue
			}
			if n--; n > 0 {
				continue
			}
			if raw == nil {
				return append(fields[:i:i], fields[i+1:]...)
			}
			fields[i] = raw
			return fields
		}
		if raw == nil {
			return fields
		}
	}
	return append(fields, raw)
}

// raw is the field, nil if it is to go away. Line ends in the value are folding: what
// follows one begins with space. Octets that no field may have are left out.
func (c Change) raw() []byte {
	if c.Value == "" && c.Kind == SetField {
		return nil
	}
	value := strings.NewReplacer("\x00", "", "\r", "").Replace(c.Value)
	lines := strings.Split(strings.TrimRight(value, "\n"), "\n")
	raw := append([]byte(c.Name), ':')
	for i, line := range lines {
		switch {
		case i == 0:
		case strings.Trim(line, " \t") == "":
			continue // An empty line would end the header.
		case line[0] != ' ' && line[0] != '\t':
			raw = append(raw, "\r\n\t"...)
		default:
			raw = append(raw, "\r\n"...)
		}
		raw = append(raw, line...)
	}
	return append(raw, "\r\n"...)
}

func isNamed(field []byte, name string) bool {
	colon := bytes.IndexByte(field, ':')
	return colon >= 0 && strings.EqualFold(string(bytes.TrimRight(field[:colon], " \t")), name)
}

// isFieldName is ftext of RFC 5322 §2.2.
func isFieldName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == ':' {
			return false
		}
	}
	return s != "" && len(s) <= message.MaxFieldName
}

// check bounds what a filter asks for.
func (o *Outcome) check() error {
	octets := 0
	for _, c := range o.Fields {
		octets += len(c.Name) + len(c.Value)
	}
	if len(o.Fields) > MaxChanges || octets > MaxFieldBytes || len(o.Add)+len(o.Remove) > MaxRecipients || len(o.Facts) > MaxFacts {
		return mail.Errorf(mail.TooLarge, "the filter asks for too many changes")
	}
	return nil
}

// rewrite makes a message with changes. Body is another body, nil for that which is there.
func rewrite(begin func() *intake.Message, m Message, fields []Change, body *intake.Message) (*intake.Message, error) {
	header := make([]byte, m.HeaderSize)
	if _, err := io.ReadFull(io.NewSectionReader(m, 0, m.HeaderSize), header); err != nil {
		return nil, err
	}
	edited := editHeader(header, fields)
	if m.HeaderSize == 0 && len(edited) > 0 || body != nil && !endsBlank(edited) {
		edited = append(edited, "\r\n"...)
	}
	var rest io.Reader = io.NewSectionReader(m, m.HeaderSize, m.Size-m.HeaderSize)
	if body != nil {
		c, err := body.Content()
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.Close() }()
		rest = io.NewSectionReader(c, 0, c.Size())
	}
	out := begin()
	_, err := out.Write(edited)
	if err == nil {
		_, err = io.Copy(out, rest)
	}
	if err == nil {
		_, err = out.Finish()
	}
	if err != nil {
		out.Close()
		return nil, err
	}
	return out, nil
}

// endsBlank reports whether a header has the empty line that ends it.
func endsBlank(h []byte) bool {
	return bytes.HasSuffix(h, []byte("\n\r\n")) || bytes.HasSuffix(h, []byte("\n\n")) || string(h) == "\r\n" || string(h) == "\n"
}
