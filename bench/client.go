package main

import (
	"context"
	"fmt"
	"time"

	"yubin/bench/load"
)

// checkClient shows what the load generator can do: it sends into sinks that
// keep nothing, and so does smtp-source.
func (b *bench) checkClient(ctx context.Context) error {
	t := b.table("The load generator by itself", "Messages of 4 KiB a second into sinks that keep nothing, in the same machine. A server that comes near to these is held back by the client.")
	t.plain = true
	s, err := b.openSinks(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	to := func(int) []string { return []string{"someone@site00.test"} }
	for round := range b.Rounds {
		for _, conns := range []int{1, 10, 100} {
			b.progress("client", round, plural(conns, "connection"), "sinks")
			name := plural(conns, "connection")
			for i, sink := range []string{"ours into our sink", "ours into smtp-sink"} {
				port := []int{b.ownSinkPort(), b.postfixSinkPort()}[i]
				sent, err := load.Sending{Host: load.SinkAddress(0).String(), Port: port, Conns: conns, For: time.Second, Size: 4 << 10, Recipients: to}.Run()
				if err != nil {
					return fmt.Errorf("%s: %w", sink, err)
				}
				t.add(name, sink, sent.PerSecond(), perSecond)
			}
			sent, err := load.Source{Host: load.SinkAddress(0).String(), Port: b.postfixSinkPort(), Conns: conns, Messages: 3000, Size: 4 << 10, To: "someone@theirs.test", Command: b.packages.Command}.Run(ctx)
			if err != nil {
				return err
			}
			t.add(name, "smtp-source into smtp-sink", sent.PerSecond(), perSecond)
		}
	}
	return nil
}
