machine() {
	installed
	started
	people
	printf 'From: bob@example.net\nTo: alice@example.org\nSubject: hello\n\nHello.\n' >/root/message.eml
}
