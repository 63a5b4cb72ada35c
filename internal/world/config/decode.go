package config

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"yubin/internal/mail"
)

// table is a TOML table being read. Each reading method takes a key out; what
// is left at the end is unknown.
type table struct {
	path   []string
	values map[string]any
	known  []string
	lines  lines
	faults *Faults
}

func (t *table) line(key string) int {
	if key == "" {
		return t.lines.at(t.path)
	}
	return t.lines.at(append(slices.Clone(t.path), key))
}

func (t *table) fault(key, format string, args ...any) {
	t.faults.add(t.line(key), "%s %s", key, fmt.Sprintf(format, args...))
}

// take removes the value of key and returns it as T, if it is there.
func take[T any](t *table, key, want string) (T, bool) {
	t.known = append(t.known, key)
	v, there := t.values[key]
	delete(t.values, key)
	got, ok := v.(T)
	if there && !ok {
		t.fault(key, "must be %s, not %s", want, typeName(v))
	}
	return got, ok
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64:
		return "an integer"
	case float64:
		return "a number with a fraction"
	case []any:
		return "an array"
	case map[string]any:
		return "a table"
	}
	return "a date or time"
}

func (t *table) text(key string, dst *string) {
	if s, ok := take[string](t, key, "a string"); ok {
		*dst = s
		if s == "" {
			t.fault(key, "must not be empty")
		}
	}
}

// database reads the URL of a database on a server.
func (t *table) database(key string, dst *string) {
	if s, ok := take[string](t, key, "a string"); ok {
		*dst = s
		if u, err := url.Parse(s); err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
			t.fault(key, `must be where a PostgreSQL database is, like "postgres://yubin@db.example.org/yubin"`)
		}
	}
}

// texts reads a list of at most limit strings.
func (t *table) texts(key string, limit int) (list []string) {
	values, _ := take[[]any](t, key, "a list of strings")
	for _, v := range values {
		s, ok := v.(string)
		if !ok {
			t.fault(key, "must be a list of strings")
			return nil
		}
		list = append(list, s)
	}
	if len(list) > limit {
		t.fault(key, "must have at most %d entries", limit)
		return nil
	}
	return list
}

func (t *table) boolean(key string, dst *bool) {
	if b, ok := take[bool](t, key, "true or false"); ok {
		*dst = b
	}
}

func (t *table) count(key string, dst *int, low, high int64) {
	n, ok := take[int64](t, key, "an integer")
	switch {
	case !ok:
	case n < low || n > high:
		t.fault(key, "must be from %d to %d", low, high)
	default:
		*dst = int(n)
	}
}

func (t *table) duration(key string, dst *time.Duration, low, high time.Duration) {
	s, ok := take[string](t, key, `a string like "30s", "5m", "2h" or "5d"`)
	if !ok {
		return
	}
	d, err := parseDuration(s)
	switch {
	case err != nil:
		t.fault(key, `must be a duration like "30s", "5m", "2h" or "5d", not %q`, s)
	case d < low || d > high:
		t.fault(key, "must be from %s to %s", shortDuration(low), shortDuration(high))
	default:
		*dst = d
	}
}

// shortDuration drops the zero units of Duration.String: 1h0m0s is 1h.
func shortDuration(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func (t *table) size(key string, dst *int64, low, high int64) {
	s, ok := take[string](t, key, `a string like "50 MiB"`)
	if !ok {
		return
	}
	n, err := ParseSize(s)
	switch {
	case err != nil:
		t.fault(key, `must be a size like "512 KiB" or "50 MiB", not %q`, s)
	case n < low || n > high:
		t.fault(key, "must be from %s to %s", formatSize(low), formatSize(high))
	default:
		*dst = n
	}
}

func (t *table) domain(key string, dst *mail.Domain) {
	s, ok := take[string](t, key, "a string")
	if !ok {
		return
	}
	d, err := mail.ParseDomain(s)
	switch {
	case err != nil || d.IsLiteral():
		t.fault(key, "must be a domain name, not %q", s)
	default:
		*dst = d
	}
}

func (t *table) address(key string, dst *mail.Address) {
	s, ok := take[string](t, key, "a string")
	if !ok {
		return
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.fault(key, "must be an address like \"alice@example.org\", not %q", s)
		return
	}
	*dst = a
}

// choice reads one word of a list.
func choice[T ~string](t *table, key string, dst *T, words ...T) {
	s, ok := take[string](t, key, "a string")
	switch {
	case !ok:
	case slices.Contains(words, T(s)):
		*dst = T(s)
	default:
		t.fault(key, "must be %s, not %q", orList(words), s)
	}
}

func orList[T ~string](words []T) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(string(w))
	}
	last := len(quoted) - 1
	return strings.Join(quoted[:last], ", ") + " or " + quoted[last]
}

// table gives the table of key to read, if it is there.
func (t *table) table(key string, read func(*table)) {
	if v, ok := take[map[string]any](t, key, "a table"); ok {
		t.child(v, read, key)
	}
}

// tables gives each table of the array of tables of key to read, in order.
func (t *table) tables(key string, read func(*table)) {
	list, ok := take[[]any](t, key, "a list: write [["+key+"]] with two brackets")
	if !ok {
		return
	}
	for i, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			t.fault(key, "must be a list of tables")
			return
		}
		t.child(m, read, key, strconv.Itoa(i))
	}
}

func (t *table) child(values map[string]any, read func(*table), path ...string) {
	c := &table{path: append(slices.Clone(t.path), path...), values: values, lines: t.lines, faults: t.faults}
	read(c)
	c.finish()
}

// finish tells the keys that nobody took.
func (t *table) finish() {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		hint := ""
		if near := nearest(key, t.known); near != "" {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		t.faults.add(t.line(key), "unknown key %q%s", key, hint)
	}
}
