package main

import (
	"strings"
	"testing"

	"yubin/bench/server"
)

func TestFigure(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   string
	}{
		{nil, "-"},
		{[]float64{7}, "7.00"},
		{[]float64{3, 1}, "2.00 (1.00-3.00)"},
		{[]float64{9, 1, 2}, "2.00 (1.00-9.00)"},
	} {
		if got := (figure{tc.values}).text(millis); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.values, got, tc.want)
		}
	}
}

// TestRatio: times better is more of a rate and less of a time.
func TestRatio(t *testing.T) {
	for _, tc := range []struct {
		unit unit
		want string
	}{{perSecond, "2.0"}, {millis, "0.5"}} {
		b := newTable("T", "")
		b.add("row", "yubin", 20, tc.unit)
		b.add("row", "other", 10, tc.unit)
		b.add("row", "absent", 0, tc.unit)
		row := b.lines[0].cells(b.columns, false)
		if row[5] != tc.want || row[6] != "-" {
			t.Errorf("%s: %q", tc.unit.name, row)
		}
	}
}

func TestPlainRatio(t *testing.T) {
	b := newTable("T", "")
	b.plain = true
	b.add("row", "10,000", 20, perSecond)
	b.add("row", "100,000", 10, perSecond)
	if got := b.markdown(); !strings.Contains(got, "100,000 / 10,000") || !strings.Contains(got, "| 0.5 ") {
		t.Error(got)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{1000: "1,000", 50_000: "50,000", 1_000_000: "1,000,000", 1_234_567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// TestCount: what a contestant must hold is what the load sends.
func TestCount(t *testing.T) {
	cell := acceptCell{recipients: 3, accounts: accounts}
	c := &contestant{held: map[int]int{}}
	c.count(cell, 500)
	sent := map[string]int{}
	for n := 1; n <= 500; n++ {
		for _, a := range cell.to(n) {
			sent[a]++
		}
	}
	for i, n := range c.held {
		if sent[server.Account(i)] != n {
			t.Errorf("account %d: %d counted, %d sent", i, n, sent[server.Account(i)])
		}
	}
	if len(sent) != len(c.held) {
		t.Errorf("%d accounts sent to, %d counted", len(sent), len(c.held))
	}
}
