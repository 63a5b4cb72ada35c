machine() {
	installed
	elsewhere_names
	started
	echo 'another staple of horses' >/root/password.txt
	printf 'address,password,quota\ndora@example.org,correct horse of dora,5GB\nemil@example.org,"battery, staple of emil",\n' >/root/people.csv
	cp /etc/ssl/authority.pem /root/
	mkdir -p /usr/local/share/ca-certificates /etc/ca-certificates/update.d
	touch /etc/ca-certificates.conf
	mkdir /etc/dovecot
	echo "frida:{SHA512-CRYPT}$(openssl passwd -6 'staples of frida')" >/etc/dovecot/users
}
