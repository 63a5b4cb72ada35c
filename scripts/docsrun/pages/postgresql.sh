machine() {
	local bin
	bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -n | tail -1)
	[ -x "$bin/initdb" ] || {
		echo "no PostgreSQL server is here"
		exit 77
	}
	useradd -r -m -d /var/lib/postgresql postgres
	install -d -o postgres /var/run/postgresql
	installed
	cd /
	sudo -u postgres "$bin/initdb" -D /var/lib/postgresql/data -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
	sudo -u postgres "$bin/pg_ctl" -s -w -D /var/lib/postgresql/data -l /var/lib/postgresql/log start -o '-c fsync=off -c listen_addresses=' </dev/null
	cd /root
}
