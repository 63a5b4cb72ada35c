package dsn

import (
	"bytes"
	"strings"
	"testing"

	"yubin/internal/mail"
	"yubin/internal/message"
)

// TestGolden compares whole messages, and their texts, with testdata.
func TestGolden(t *testing.T) {
	forwarded := refused(t)
	forwarded.Original = typed(t, "sales@yubin.example")
	gaveUp := late(t)
	gaveUp.Action = Failed
	unicode := refused(t)
	unicode.Original, unicode.Final = typed(t, "郵便@例え.テスト"), typed(t, "郵便@例え.テスト")
	_, undelivered := write(t, report(refused(t)), options(t))
	unreached := refused(t)
	unreached.Final = typed(t, "alice@yubin.example")
	kinds := []struct {
		name   string
		report Report
		change func(*Options)
	}{
		{"failure", report(refused(t)), nil},
		{"delay", report(late(t)), nil},
		{"delivered", report(done(t, "bob@example.com", Delivered)), nil},
		{"relayed", report(done(t, "dana@ivory.example", Relayed)), nil},
		{"expanded", report(done(t, "team@yubin.example", Expanded)), nil},
		{"mixed", report(forwarded, gaveUp, done(t, "dana@ivory.example", Delivered), late(t)), func(o *Options) { o.Ret = mail.RetHeaders }},
		{"unicode", report(unicode), func(o *Options) {
			o.UTF8 = true
			o.Original = strings.NewReader(strings.Replace(letter, "Lunch on Friday", "金曜日のお昼ご飯について", 1))
		}},
		{"lost", report(unreached), func(o *Options) {
			o.Lost, o.ID, o.To, o.Original = true, "lmnopqrstuvwxyz0123456", mail.ReversePath(o.From), bytes.NewReader(undelivered)
		}},
	}
	for _, k := range kinds {
		for _, l := range []Language{English, Japanese} {
			o := options(t)
			o.Languages = []Language{l}
			if k.change != nil {
				k.change(&o)
			}
			goldenMessage(t, k.name+"-"+l.String(), k.report, o)
		}
	}
	o := options(t)
	o.Languages = []Language{Japanese, English}
	goldenMessage(t, "failure-both", report(refused(t)), o)
}

func goldenMessage(t *testing.T, name string, r Report, o Options) {
	t.Run(name, func(t *testing.T) {
		m, b := write(t, r, o)
		checkLines(t, b, m.Envelope().Body == mail.Body8BitMIME)
		golden(t, name+".eml", string(b))
		root := message.Parse(b).Root
		if len(root.Children) != 3 {
			t.Fatalf("%d parts", len(root.Children))
		}
		golden(t, name+".txt", partText(t, b, root.Children[0]))
	})
}
