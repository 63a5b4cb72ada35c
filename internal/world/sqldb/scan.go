package sqldb

import (
	"database/sql/driver"
	"fmt"
	"reflect"
)

// assign puts a column's value into *dest.
func assign(dest any, v driver.Value) error {
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
	case *bool:
		var n int64
		err := assignInt(&n, v)
		*d = n != 0
		return err
	}
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("target %T is not a pointer", dest)
	}
	return assignTo(p.Elem(), v)
}

// assignTo is assign for types made from the basic ones.
func assignTo(d reflect.Value, v driver.Value) error {
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
		f, ok := v.(float64)
		if !ok {
			return mismatch(v, "a float")
		}
		d.SetFloat(f)
		return nil
	}
	return fmt.Errorf("target type %s cannot be scanned into", d.Type())
}

func assignInt(d *int64, v driver.Value) error {
	switch v := v.(type) {
	case int64:
		*d = v
	case nil:
		*d = 0
	case bool:
		*d = 0
		if v {
			*d = 1
		}
	default:
		return mismatch(v, "an integer")
	}
	return nil
}

func assignString(d *string, v driver.Value) error {
	switch v := v.(type) {
	case string:
		*d = v
	case []byte:
		*d = string(v)
	case nil:
		*d = ""
	default:
		return mismatch(v, "text")
	}
	return nil
}

func assignBytes(d *[]byte, v driver.Value) error {
	switch v := v.(type) {
	case []byte:
		*d = v
	case string:
		*d = []byte(v)
	case nil:
		*d = nil
	default:
		return mismatch(v, "octets")
	}
	return nil
}

func mismatch(v driver.Value, want string) error {
	return fmt.Errorf("value is %T, not %s", v, want)
}
