# The server knows its addresses.
machine() {
	installed
	sed -i '1i addresses = ["192.0.2.1", "2001:db8::1"]' /etc/yubin/yubin.toml
	started
	people
}

# records puts into the DNS what the server wants there.
records() {
	sed -i '/example\.org\./d; /in-addr.arpa/d; /ip6.arpa/d' /run/zone
	publish "$(yubin dns records "$1" | sed -n 's/^    \([^ ].* IN .*\)/\1/p')"
}

# updatable has the server know how to update the zone.
updatable() {
	install -m 640 -g yubin /dev/null /etc/yubin/dns.key
	printf 'key "yubin" {\n\talgorithm hmac-sha256;\n\tsecret "%s";\n};\n' MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY= >/etc/yubin/dns.key
	cat >>/etc/yubin/yubin.toml <<-END
		[dns_update]
		server = "127.0.0.1"
		zones = ["example.org"]
		key_file = "dns.key"
	END
	systemctl reload yubin
}
