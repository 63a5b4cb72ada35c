package sqldb

import (
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"yubin/internal/mail"
)

// kind is what a value of the database can be.
type kind uint8

const (
	null kind = iota
	integer
	float
	text
	octets
)

func (k kind) String() string {
	return [...]string{"NULL", "an integer", "a float", "text", "octets"}[k]
}

// value is an argument as both databases take it, or a column as they give it.
type value struct {
	kind   kind
	n      int64
	f      float64
	octets []byte // of text too; of a column only until the next row, and not to be changed
}

// valueOf makes a value of an argument: nil, a boolean (an integer, 1 or 0), an
// integer, a float, text, octets, or of a type made from these. Text is UTF-8
// without NUL: PostgreSQL keeps no other.
func valueOf(a any) (value, error) {
	switch a := a.(type) {
	case nil:
		return value{}, nil
	case int64:
		return value{kind: integer, n: a}, nil
	case int:
		return value{kind: integer, n: int64(a)}, nil
	case bool:
		if a {
			return value{kind: integer, n: 1}, nil
		}
		return value{kind: integer}, nil
	case string:
		return textValue(a)
	case []byte:
		if a == nil {
			return value{}, nil
		}
		return value{kind: octets, octets: a}, nil
	case float64:
		return value{kind: float, f: a}, nil
	case time.Time:
		return value{}, mail.Errorf(mail.Internal, "a time must be stored as an integer")
	}
	return reflected(reflect.ValueOf(a))
}

// reflected is valueOf for types made from the basic ones.
func reflected(v reflect.Value) (value, error) {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return value{kind: integer, n: v.Int()}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return value{kind: integer, n: int64(v.Uint())}, nil
	case reflect.String:
		return textValue(v.String())
	case reflect.Bool:
		return valueOf(v.Bool())
	case reflect.Float32, reflect.Float64:
		return value{kind: float, f: v.Float()}, nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return valueOf(v.Bytes())
		}
	}
	return value{}, mail.Errorf(mail.Internal, "type %s cannot be stored", v.Type())
}

func textValue(s string) (value, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return value{}, mail.Errorf(mail.Invalid, "text with NUL cannot be stored")
	}
	if !utf8.ValidString(s) {
		return value{}, mail.Errorf(mail.Invalid, "text that is not UTF-8 cannot be stored")
	}
	return value{kind: text, octets: unsafe.Slice(unsafe.StringData(s), len(s))}, nil
}

// argument says which argument an error is about.
func argument(n int, err error) error {
	e := err.(*mail.Error)
	return mail.Errorf(e.Kind, "argument $%d: %s", n, e.Text)
}

// any is the value as one of Go.
func (v value) any() any {
	switch v.kind {
	case integer:
		return v.n
	case float:
		return v.f
	case text:
		return string(v.octets)
	case octets:
		return append([]byte(nil), v.octets...)
	}
	return nil
}
