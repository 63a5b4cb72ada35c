# joined gives carol and dave accounts.
joined() {
	yubin alias remove carol@example.org
	for name in carol dave; do
		yubin account add $name@example.org --password-stdin </root/password.txt
	done
}

machine() {
	installed
	elsewhere_names
	started
	echo 'another staple of horses' >/root/password.txt
	printf 'address,password,quota\ndora@example.org,correct horse of dora,5GB\nemil@example.org,"battery, staple of emil",\n' >/root/people.csv
	cp /etc/ssl/authority.pem /root/
	mkdir -p /usr/local/share/ca-certificates /etc/ca-certificates/update.d
	touch /etc/ca-certificates.conf
	printf 'domain\nshop.example\n' >/root/domains.csv
	printf 'address,targets\nhelp@example.org,alice@example.org\n' >/root/aliases.csv
	printf 'webmaster: alice@example.org\n' >/etc/aliases
	mkdir /etc/dovecot /etc/postfix
	echo 'more.example OK' >/etc/postfix/virtual_domains
	echo 'hello@example.org alice@example.org' >/etc/postfix/virtual
	echo "frida:{SHA512-CRYPT}$(openssl passwd -6 'staples of frida')" >/etc/dovecot/users
}
