# An LDAP directory at ldap1 and ldap2.example.org, and a server that does not know it yet.
machine() {
	installed
	certificate /srv/ldap ldap1.example.org ldap2.example.org
	publish 'ldap1.example.org. A 127.0.0.1' 'ldap2.example.org. A 127.0.0.1'
	cat >/srv/ldap/people <<-END
		dc=example,dc=org | | o=example
		cn=yubin,ou=services,dc=example,dc=org | the service | objectClass=person
		uid=alice,ou=people,dc=example,dc=org | another staple of horses | objectClass=inetOrgPerson; mail=alice@example.org; mailQuota=2 GiB
	END
	ldapd /srv/ldap/people /srv/ldap </dev/null >/var/log/ldap 2>&1 &
	cp /etc/ssl/authority.pem /etc/yubin/ldap-ca.pem
	chmod 644 /etc/yubin/ldap-ca.pem
	echo 'the service' >/etc/yubin/ldap.password
	chown root:yubin /etc/yubin/ldap.password
	chmod 640 /etc/yubin/ldap.password
	started
	yubin domain add example.org >/dev/null
	echo 'another staple of horses' >/root/password.txt
}
