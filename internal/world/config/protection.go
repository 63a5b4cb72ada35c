package config

import "net/netip"

func (t *table) bans(b *Bans) {
	enabled := true
	t.boolean("enabled", &enabled)
	b.Off = !enabled
	b.Never = t.networks("never", maxNever, "; enabled = false bans nobody")
}

func (t *table) sending(s *Sending) {
	enabled := true
	t.boolean("enabled", &enabled)
	s.Off = !enabled
	t.count("messages_hour", &s.MessagesHour, 0, maxSending)
	t.count("messages_day", &s.MessagesDay, 0, maxSending)
	t.count("new_hour", &s.NewHour, 0, maxSending)
	t.count("new_day", &s.NewDay, 0, maxSending)
	t.boolean("breaker", &s.Breaker)
	t.boolean("end_sessions", &s.EndSessions)
}

// Proxies are the networks of all proxies of listeners.
func (c *Config) Proxies() (list []netip.Prefix) {
	for _, l := range c.Listeners {
		list = append(list, l.Proxies...)
	}
	return list
}
