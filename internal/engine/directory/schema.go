package directory

import (
	"context"
	"errors"

	"yubin/internal/mail"
	"yubin/internal/world/sqldb"
)

// Schema is the tables of this engine, for who carries them elsewhere.
func Schema() sqldb.Schema { return sqldb.Schema{Engine: "directory", Steps: schema()} }

// schema returns the steps of the tables; see the package comment.
func schema() []string {
	return []string{`
	CREATE TABLE directory_domain (
		name      {text} NOT NULL PRIMARY KEY,
		alias_of  {text} NOT NULL DEFAULT '',
		quota_octets   {int} NOT NULL DEFAULT -1,
		quota_messages {int} NOT NULL DEFAULT -1
	) {clustered};
	CREATE TABLE directory_account (
		id        {id},
		domain    {text} NOT NULL,
		local_key {text} NOT NULL,
		local     {text} NOT NULL,
		password  {text} NOT NULL,
		factors   {text} NOT NULL,
		scram     {text} NOT NULL,
		protocols {text} NOT NULL DEFAULT '',
		networks  {text} NOT NULL DEFAULT '',
		credential  {int} NOT NULL DEFAULT 1,
		credentials {int} NOT NULL DEFAULT 1,
		version   {int} NOT NULL DEFAULT 1,
		disabled  {int} NOT NULL DEFAULT 0,
		language  {text} NOT NULL,
		created   {int} NOT NULL,
		quota_octets   {int} NOT NULL DEFAULT -1,
		quota_messages {int} NOT NULL DEFAULT -1,
		forwarding {int} NOT NULL DEFAULT 0,
		UNIQUE (domain, local_key)
	);
	CREATE TABLE directory_alias (
		domain    {text} NOT NULL,
		local_key {text} NOT NULL,
		local     {text} NOT NULL,
		PRIMARY KEY (domain, local_key)
	) {clustered};
	CREATE TABLE directory_target (
		domain        {text} NOT NULL,
		local_key     {text} NOT NULL,
		position      {int} NOT NULL,
		target_domain {text} NOT NULL,
		target_key    {text} NOT NULL,
		PRIMARY KEY (domain, local_key, position)
	) {clustered};
	CREATE INDEX directory_target_name ON directory_target (target_domain, target_key);
	CREATE INDEX directory_domain_alias_of ON directory_domain (alias_of);
	CREATE TABLE directory_group (
		name {text} NOT NULL PRIMARY KEY
	) {clustered};
	CREATE TABLE directory_send_as (
		account   {int} NOT NULL,
		grp       {text} NOT NULL,
		domain    {text} NOT NULL,
		local_key {text} NOT NULL,
		PRIMARY KEY (account, grp, domain, local_key)
	) {clustered};
	CREATE TABLE directory_network (
		account {int} NOT NULL,
		network {text} NOT NULL,
		wide    {text} NOT NULL, -- the network around it: obs.Network
		seen    {int} NOT NULL,
		PRIMARY KEY (account, network)
	) {clustered};
	CREATE INDEX directory_account_foreign ON directory_account (id) WHERE scram = '' AND password <> '';
	CREATE TABLE directory_app_password (
		account   {int} NOT NULL,
		number    {int} NOT NULL,
		name      {text} NOT NULL,
		digest    {blob} NOT NULL,
		scram     {text} NOT NULL,
		protocols {text} NOT NULL,
		networks  {text} NOT NULL,
		until     {int} NOT NULL,
		created   {int} NOT NULL,
		PRIMARY KEY (account, number),
		UNIQUE (account, name)
	) {clustered};
	CREATE TABLE directory_second_factor (
		account {int} NOT NULL PRIMARY KEY,
		secret  {blob} NOT NULL,
		since   {int} NOT NULL,
		step    {int} NOT NULL
	) {clustered};
	CREATE TABLE directory_recovery_code (
		account {int} NOT NULL,
		digest  {blob} NOT NULL,
		PRIMARY KEY (account, digest)
	) {clustered};
	CREATE TABLE directory_use (
		account  {int} NOT NULL,
		number   {int} NOT NULL,
		at       {int} NOT NULL,
		protocol {text} NOT NULL,
		network  {text} NOT NULL,
		PRIMARY KEY (account, number)
	) {clustered};
	CREATE INDEX directory_network_wide ON directory_network (wide);
	CREATE TABLE directory_site (
		id             {int} NOT NULL PRIMARY KEY,
		quota_octets   {int} NOT NULL,
		quota_messages {int} NOT NULL
	);
	CREATE TABLE directory_secret (
		name  {text} NOT NULL PRIMARY KEY,
		value {blob} NOT NULL
	) {clustered}`}
}

// loadSecret reads the secret of the database, making it the first time.
func (d *Directory) loadSecret(ctx context.Context) error {
	fresh, err := d.random(keySize)
	if err != nil {
		return err
	}
	return d.o.DB.Write(ctx, func(tx *sqldb.Tx) error {
		err := tx.QueryRow(`SELECT value FROM directory_secret WHERE name = 'scram'`).Scan(&d.scramSecret)
		if !isNoRow(err) {
			return err
		}
		d.scramSecret = fresh
		_, err = tx.Exec(`INSERT INTO directory_secret (name, value) VALUES ('scram', $1)`, fresh)
		return err
	})
}

func isNoRow(err error) bool { return errors.Is(err, sqldb.ErrNoRows) }

// exists runs a query and says whether it gave a row.
func exists(tx *sqldb.Tx, query string, args ...any) (bool, error) {
	var one int
	err := tx.QueryRow(query, args...).Scan(&one)
	if isNoRow(err) {
		return false, nil
	}
	return err == nil, err
}

func domainExists(tx *sqldb.Tx, name mail.Domain) (bool, error) {
	return exists(tx, `SELECT 1 FROM directory_domain WHERE name = $1`, name)
}

// aliasOf says whether name is local, and which domain it is another name of, if it is.
func aliasOf(tx *sqldb.Tx, name mail.Domain) (of mail.Domain, local bool, err error) {
	err = tx.QueryRow(`SELECT alias_of FROM directory_domain WHERE name = $1`, name).Scan(&of)
	if isNoRow(err) {
		return "", false, nil
	}
	return of, err == nil, err
}

func aliasExists(tx *sqldb.Tx, key mail.Address) (bool, error) {
	return exists(tx, `SELECT 1 FROM directory_alias WHERE domain = $1 AND local_key = $2`, key.Domain, key.Local)
}

// collect reads a column of addresses: local part, domain.
func collect(tx *sqldb.Tx, query string, args ...any) ([]mail.Address, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []mail.Address
	for rows.Next() {
		var a mail.Address
		if err := rows.Scan(&a.Local, &a.Domain); err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, rows.Err()
}
