# What of the old server yubin is given: the users of Dovecot, Postfix' aliases, the mail.
machine() {
	installed
	started
	echo 'another staple of horses' >/root/password.txt
	mkdir /etc/dovecot
	printf '%s\n' "alice@example.org:{SHA512-CRYPT}$(openssl passwd -6 'staples of alice'):5000:5000::/var/vmail/example.org/alice::" \
		'bob@example.org:{SSHA}vRLoJAzyMzJvAxQcSz0bdlRYMvZ0ZXN0::::::' >/etc/dovecot/users
	mkdir /etc/postfix
	printf '%s\t%s\n' help@example.org info@example.org info@example.org alice@example.org sales@example.org alice@example.org,carol@example.net \
		>/etc/postfix/virtual
	maildir /var/vmail/example.org/alice ann ben
}
