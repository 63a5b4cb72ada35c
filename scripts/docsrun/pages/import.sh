machine() {
	installed
	alone
	started
	people
	useradd -m alice
	elsewhere
	maildir /var/vmail/example.org/alice ann ben
	maildir /var/vmail/example.org/bob cleo
	printf 'From ann Tue Dec  1 10:00:00 2026\nFrom: ann@example.com\nSubject: hello\n\nHello.\n\n' >/home/alice/mail
	chown alice: /home/alice/mail
}
