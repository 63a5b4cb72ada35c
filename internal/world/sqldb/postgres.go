package sqldb

import (
	"context"
	"yubin/internal/mail"
)

func openPostgres(ctx context.Context, o Options) (database, error) {
	return nil, mail.Errorf(mail.Invalid, "PostgreSQL is not supported yet")
}
