package main

import (
	"context"
	"encoding/json"
	"io"
	"sort"
	"strconv"
	"strings"
	"time"

	"yubin/internal/server/admin"
)

type auditCmd struct {
	place
	Since age    `help:"What was changed in this time: 90m, 36h, 30d." placeholder:"TIME"`
	Who   string `help:"What this user changed: a name or a number." placeholder:"USER"`
	What  string `help:"Lines with this in what was done or to what: accounts, alice@example.org." placeholder:"TEXT"`
	Limit int    `help:"How many lines to show, the latest." default:"100" placeholder:"N"`
}

// maxAudit is how many lines can be asked for at once.
const maxAudit = 1_000_000

// Run lists changes, the latest last, where people look.
func (c *auditCmd) Run(e *env) error {
	if c.Limit < 1 || c.Limit > maxAudit {
		return usagef("--limit must be from 1 to %d", maxAudit)
	}
	f := admin.AuditFilter{Who: c.Who, What: c.What}
	if c.Since > 0 {
		f.Since = time.Now().Add(-time.Duration(c.Since))
	}
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		list, err := client.AuditLines(ctx, f, c.Limit)
		if err != nil {
			return err
		}
		sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
		return e.show(list, func(w io.Writer) {
			if len(list) == 0 {
				writeLine(w, "nothing was changed")
				return
			}
			t := table{{"WHEN", "WHO", "WHAT", "OF", "BEFORE", "AFTER"}}
			for _, l := range list {
				t.add(moment(l.At), l.Who, l.What, l.Subject, entries(l.Before), entries(orAsked(l)))
			}
			t.writeWithin(w, auditColumn)
		})
	})
}

// orAsked is what a change came to, or what was asked for where nothing shows of it, as
// of a password.
func orAsked(l admin.AuditLine) json.RawMessage {
	if len(l.After) == 0 || string(l.After) == "{}" {
		return l.Asked
	}
	return l.After
}

// auditColumn is how wide a column of a list gets: what is longer stands out of its own row.
const auditColumn = 40

// entriesWidth is how much of them stands in a list.
const entriesWidth = 100

// entries writes a JSON object for people, in a line: enabled=false quota.octets=5.0GiB.
func entries(text json.RawMessage) string {
	var v any
	if len(text) == 0 || json.Unmarshal(text, &v) != nil {
		return ""
	}
	var parts []string
	var walk func(name string, v any)
	walk = func(name string, v any) {
		o, is := v.(map[string]any)
		if !is {
			value, _ := json.Marshal(v)
			parts = append(parts, strings.TrimPrefix(name+"="+strings.Trim(string(value), `"`), "="))
			return
		}
		if key := name[strings.LastIndexByte(name, '.')+1:]; key == "quota" {
			parts = append(parts, quotaEntries(name, o)...)
			return
		}
		for key, v := range o {
			walk(strings.TrimPrefix(name+"."+key, "."), v)
		}
	}
	walk("", v)
	sort.Strings(parts)
	return cut(strings.Join(parts, " "), entriesWidth)
}

// quotaEntries writes a quota by the words that yubin account quota takes.
func quotaEntries(name string, o map[string]any) (parts []string) {
	for key, v := range o {
		n, _ := v.(float64)
		word := strconv.FormatInt(int64(n), 10)
		switch {
		case n < 0:
			word = "default"
		case n == 0:
			word = "none"
		case key == "octets":
			word = strings.ReplaceAll(octets(int64(n)), " ", "")
		}
		parts = append(parts, name+"."+key+"="+word)
	}
	return parts
}
