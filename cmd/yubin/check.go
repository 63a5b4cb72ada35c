package main

import (
	"context"
	"fmt"

	"yubin/internal/server/admin"
)

type checkCmd struct {
	place
	Deep bool `help:"Read every message too and compare it with its checksum."`
}

// Run tells each problem as it is found and fails if there was one.
func (c *checkCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		problems := 0
		err := client.Check(ctx, c.Deep, func(problem string) {
			problems++
			_ = e.did(admin.Finding{Problem: problem}, "%s", problem)
		})
		switch {
		case err != nil:
			return err
		case problems > 0:
			return fmt.Errorf("the store has %d problems", problems)
		}
		return e.did(admin.Finding{Checked: true}, "the store is good")
	})
}
