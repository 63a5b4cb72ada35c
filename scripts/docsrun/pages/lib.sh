# What the machines of pages have. Sourced by docsrun for the machine of a page, and
# for the marks "setup" and "then".

# machine prepares the machine of a page that says nothing else: yubin as
# docs/install.md has it, running under its unit, for example.org with alice and bob.
machine() { installed; started; people; }

# installed does what docs/install.md says.
installed() {
	elsewhere_names
	install -m 755 /root/yubin /usr/local/bin/yubin
	useradd -r yubin
	install -d -m 755 /etc/yubin
	install -m 640 -g yubin /root/deploy/yubin.toml /etc/yubin/yubin.toml
	install -d -m 750 -g yubin /etc/yubin/tls
	certificate /etc/yubin/tls mail.example.org
	chgrp yubin /etc/yubin/tls/*.pem
	chmod 640 /etc/yubin/tls/*.pem
	install -m 644 /root/deploy/yubin.service /etc/systemd/system/
}

started() { systemctl start yubin; }

# people are those that the pages speak of.
people() {
	yubin domain add example.org >/dev/null
	for name in alice bob; do
		echo "correct horse battery $name" | yubin account add $name@example.org --password-stdin >/dev/null
	done
	echo 'another staple of horses' >/root/password.txt
}

# elsewhere_names starts a name server for the zone of the pages.
elsewhere_names() {
	[ ! -e /run/names.pid ] || return 0
	cp /standins/pages/zone /run/zone
	names /run/zone </dev/null >/var/log/names 2>&1 &
	echo $! >/run/names.pid
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		! ss -Hltn 'sport = 53' | grep -q . || return 0
		sleep 0.05
	done
}

# publish adds records to the zone.
publish() {
	printf '%s\n' "$@" >>/run/zone
	kill -HUP "$(cat /run/names.pid)"
	sleep 0.1
}

# authority makes a certificate authority that this machine trusts.
authority() {
	[ ! -e /etc/ssl/authority.pem ] || return 0
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Authority of the pages" \
		-keyout /etc/ssl/authority.key -out /etc/ssl/authority.pem 2>/dev/null
	cat /etc/ssl/authority.pem >>/etc/ssl/certs/ca-certificates.crt
}

# certificate DIR NAME… makes DIR/fullchain.pem and DIR/privkey.pem for the names.
certificate() {
	authority
	local dir=$1 names
	shift
	names=$(printf ',DNS:%s' "$@")
	mkdir -p "$dir"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$dir/privkey.pem" -out "$dir/request" 2>/dev/null
	printf 'subjectAltName=%s\n' "${names#,}" >"$dir/names"
	openssl x509 -req -in "$dir/request" -CA /etc/ssl/authority.pem -CAkey /etc/ssl/authority.key -days 20 -extfile "$dir/names" \
		-out "$dir/fullchain.pem" 2>/dev/null
	rm "$dir/request" "$dir/names"
}

# elsewhere is another post office, for the hosts of example.net, at 192.0.2.200, where
# alice has an account too. Yours must be alone on its address.
elsewhere() {
	certificate /srv/elsewhere/tls smtp.example.net imap.example.net mx.example.net mx.example.com old.example.org
	cat >/srv/elsewhere/yubin.toml <<-END
		hostname = "mx.example.net"
		data = "/srv/elsewhere/data"
		[[certificate]]
		cert = "tls/fullchain.pem"
		key = "tls/privkey.pem"
		[[listener]]
		protocol = "smtp"
		address = "192.0.2.200:25"
		[[listener]]
		protocol = "smtp"
		profile = "submission"
		address = "192.0.2.200:587"
		[[listener]]
		protocol = "imap"
		address = "192.0.2.200:993"
		tls = "implicit"
		[judge]
		enabled = false
	END
	setsid yubin serve --config /srv/elsewhere/yubin.toml </dev/null >/var/log/elsewhere 2>&1 &
	soon test -S /srv/elsewhere/data/admin.sock
	local there="env YUBIN_DATA=/srv/elsewhere/data yubin"
	$there domain add example.net >/dev/null
	$there account add alice@example.net --password-stdin </root/password.txt >/dev/null
}

# letter FROM TO… hands a message to this server, as alice.
letter() {
	local from=$1
	shift
	printf 'From: %s\nTo: %s\nSubject: invoice of march\nMessage-ID: <%s.1@client>\nDate: %s\n\nHello.\n' \
		"$from" "$1" "$(date +%Y%m%d%H%M%S)" "$(date -R)" >/run/letter
	curl -sS --url smtp://mail.example.org:587/client --ssl-reqd --cacert /etc/ssl/authority.pem --user "alice@example.org:correct horse battery alice" --mail-from "$from" \
		$(printf -- '--mail-rcpt %s ' "$@") -T /run/letter --crlf
}

# maildir DIR NAME… makes a Maildir with a message for each name in its INBOX.
maildir() {
	local dir=$1 n=0
	shift
	mkdir -p "$dir/cur" "$dir/new" "$dir/tmp"
	for name in "$@"; do
		n=$((n + 1))
		printf 'From: %s <%s@example.com>\nTo: alice@example.org\nSubject: letter of %s\nDate: Tue, 1 Dec 2026 10:00:00 +0000\n\nOnce more, %s.\n' \
			"$name" "$name" "$name" "$name" >"$dir/cur/$n.$name.example:2,S"
	done
}

# soon waits until a command ends well, for twenty seconds.
soon() {
	for _ in $(seq 200); do
		! "$@" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}

# alone has this server listen on one address, where others have the same ports.
alone() { sed -i 's/address = ":/address = "192.0.2.1:/' /etc/yubin/yubin.toml; }

# filled gives alice mail: INBOX with the UIDs 4711 and 4712, Work/Plans, a message <abc@example.com>.
filled() {
	maildir /srv/alice ann ben
	maildir /srv/alice/.Work.Plans cleo
	printf '3 V17 N4713\n4711 :1.ann.example\n4712 :2.ben.example\n' >/srv/alice/dovecot-uidlist
	sed -i '1i Message-ID: <abc@example.com>' /srv/alice/cur/2.*
	yubin import maildir alice@example.org /srv/alice >/dev/null
}

# stays WORDS COMMAND starts a command that goes on, and waits until it printed WORDS.
stays() {
	setsid bash -c "$2" </dev/null >/run/stays 2>&1 &
	echo $! >/run/stays.pid
	for _ in $(seq 200); do
		! grep -qF -- "$1" /run/stays || return 0
		kill -0 "$(cat /run/stays.pid)" 2>/dev/null || break
		sleep 0.05
	done
	cat /run/stays
	return 1
}

# gone ends what stays.
gone() {
	kill -- "-$(cat /run/stays.pid)"
	for _ in $(seq 200); do
		kill -0 "$(cat /run/stays.pid)" 2>/dev/null || return 0
		sleep 0.05
	done
}

