package sqldb

import (
	"fmt"
	"reflect"
)

// Borrowed is a target of Rows.Scan for octets that are not copied: they are the
// engine's, and gone with the next row.
type Borrowed []byte

// assign puts a column's value into *dest.
func assign(dest any, v Value) error {
	switch d := dest.(type) {
	case *int64:
		return assignInt(d, v)
	case *int:
		var n int64
		err := assignInt(&n, v)
		*d = int(n)
		return err
	case *string:
		return assignString(d, v)
	case *[]byte:
		return assignBytes(d, v)
	case *Borrowed:
		return assignBorrowed(d, v)
	case *Value:
		*d = v
		return nil
	case *bool:
		var n int64
		err := assignInt(&n, v)
		*d = n != 0
		return err
	}
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("target %v is not a pointer", reflect.TypeOf(dest))
	}
	return assignTo(p.Elem(), v)
}

// assignTo is assign for types made from the basic ones.
func assignTo(d reflect.Value, v Value) error {
	switch d.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		err := assignInt(&n, v)
		if err == nil && d.OverflowInt(n) {
			return fmt.Errorf("%d overflows %s", n, d.Type())
		}
		d.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var n int64
		err := assignInt(&n, v)
		if err == nil && d.OverflowUint(uint64(n)) {
			return fmt.Errorf("%d overflows %s", n, d.Type())
		}
		d.SetUint(uint64(n))
		return err
	case reflect.String:
		var s string
		err := assignString(&s, v)
		d.SetString(s)
		return err
	case reflect.Float64:
		if v.Kind != Real {
			return mismatch(v, "a float")
		}
		d.SetFloat(v.Real)
		return nil
	}
	return fmt.Errorf("target type %s cannot be scanned into", d.Type())
}

func assignInt(d *int64, v Value) error {
	switch v.Kind {
	case Int, Null:
		*d = v.Int
		return nil
	}
	return mismatch(v, "an integer")
}

func assignString(d *string, v Value) error {
	switch v.Kind {
	case Text, Octets, Null:
		*d = string(v.Octets)
		return nil
	}
	return mismatch(v, "text")
}

func assignBytes(d *[]byte, v Value) error {
	switch v.Kind {
	case Text, Octets, Null:
		*d = append([]byte(nil), v.Octets...)
		return nil
	}
	return mismatch(v, "octets")
}

func assignBorrowed(d *Borrowed, v Value) error {
	switch v.Kind {
	case Text, Octets, Null:
		*d = v.Octets
		return nil
	}
	return mismatch(v, "octets")
}

func mismatch(v Value, want string) error {
	return fmt.Errorf("value is %v, not %s", v.Kind, want)
}
