package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"yubin/internal/server/admin"
)

type clientsCmd struct {
	place
	Address string `arg:"" help:"An address of a domain here, or a domain. Whether there is such an account is not looked at."`
}

// securityNames are the words of clients for kinds of TLS.
var securityNames = map[string]string{"tls": "SSL/TLS", "starttls": "STARTTLS"}

// Run prints what somebody enters who sets up a mail client.
func (c *clientsCmd) Run(e *env) error {
	return e.admin(c.place, func(ctx context.Context, client *admin.Client) error {
		s, err := client.ClientSettings(ctx, c.Address)
		if err != nil {
			return err
		}
		return e.show(s.Services, func(w io.Writer) {
			t := table{{"SERVICE", "HOST", "PORT", "SECURITY"}}
			for _, one := range s.Services {
				t.add(strings.ToUpper(one.Protocol), one.Host, strconv.Itoa(int(one.Port)), securityNames[one.Security])
			}
			t.write(w)
			fmt.Fprintf(w, "\nThe user name is %s, the password that of the account.\n", cmp.Or(s.Login, "the whole address"))
		})
	})
}
