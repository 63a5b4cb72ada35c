package sqldb

import (
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"yubin/internal/mail"
)

// valueOf makes a value of an argument: nil, a boolean (an integer, 1 or 0), an
// integer, a float, text, octets, or of a type made from these. Text is UTF-8
// without NUL: PostgreSQL keeps no other.
func valueOf(a any) (Value, error) {
	switch a := a.(type) {
	case nil:
		return Value{}, nil
	case int64:
		return Value{Kind: Int, Int: a}, nil
	case int:
		return Value{Kind: Int, Int: int64(a)}, nil
	case bool:
		if a {
			return Value{Kind: Int, Int: 1}, nil
		}
		return Value{Kind: Int}, nil
	case string:
		return textValue(a)
	case []byte:
		if a == nil {
			return Value{}, nil
		}
		return Value{Kind: Octets, Octets: a}, nil
	case float64:
		return Value{Kind: Real, Real: a}, nil
	case time.Time:
		return Value{}, mail.Errorf(mail.Internal, "a time must be stored as an integer")
	}
	return reflected(reflect.ValueOf(a))
}

// reflected is valueOf for types made from the basic ones.
func reflected(v reflect.Value) (Value, error) {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Value{Kind: Int, Int: v.Int()}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Value{Kind: Int, Int: int64(v.Uint())}, nil
	case reflect.String:
		return textValue(v.String())
	case reflect.Bool:
		if v.Bool() {
			return Value{Kind: Int, Int: 1}, nil
		}
		return Value{Kind: Int}, nil
	case reflect.Float32, reflect.Float64:
		return Value{Kind: Real, Real: v.Float()}, nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.IsNil() {
				return Value{}, nil
			}
			return Value{Kind: Octets, Octets: append([]byte{}, v.Bytes()...)}, nil // A copy, so that no argument need be on the heap.
		}
	}
	return Value{}, mail.Errorf(mail.Internal, "type %s cannot be stored", v.Type())
}

func textValue(s string) (Value, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return Value{}, mail.Errorf(mail.Invalid, "text with NUL cannot be stored")
	}
	if !utf8.ValidString(s) {
		return Value{}, mail.Errorf(mail.Invalid, "text that is not UTF-8 cannot be stored")
	}
	return Value{Kind: Text, Octets: unsafe.Slice(unsafe.StringData(s), len(s))}, nil
}

// appendValues makes values of arguments. Their octets are not copied.
func appendValues(values []Value, args []any) ([]Value, error) {
	for i, a := range args {
		v, err := valueOf(a)
		if err != nil {
			return values, argument(i+1, err)
		}
		values = append(values, v)
	}
	return values, nil
}

// argument says which argument an error is about.
func argument(n int, err error) error {
	e := err.(*mail.Error)
	return mail.Errorf(e.Kind, "argument $%d: %s", n, e.Text)
}
