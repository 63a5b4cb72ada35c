# Eight messages wait for a host that says "try again later".
machine() {
	installed
	alone
	started
	people
	printf 'S: 220 mx.example.com\nC~ EHLO .*\nS: 250 mx.example.com\nC~ MAIL .*\nS: 250 2.1.0 go on\nC~ RCPT .*\nS: 450 4.2.1 try again later\nhold\n' >/run/later
	setsid peer 192.0.2.201:25 /run/later </dev/null >/var/log/peer 2>&1 &
	for _ in 1 2 3 4 5 6 7 8; do letter alice@example.org bob@example.com; done
	sleep 1
	for _ in $(seq 50); do # The page shows what became of it.
		! yubin queue show 7 | grep -q deferred || break
		sleep 0.2
	done
}
