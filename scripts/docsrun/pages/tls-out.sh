# example.com has a policy, at a web server of its own.
machine() {
	installed
	alone
	started
	people
	certificate /srv/policy mta-sts.example.com
	mkdir -p /srv/policy/.well-known
	printf '%s\r\n' 'HTTP/1.0 200 OK' 'Content-Type: text/plain' '' 'version: STSv1' 'mode: enforce' 'mx: *.example.com' 'max_age: 604800' \
		>/srv/policy/.well-known/mta-sts.txt
	cd /srv/policy
	setsid openssl s_server -quiet -HTTP -accept 192.0.2.201:443 -cert fullchain.pem -key privkey.pem </dev/null >/var/log/policy 2>&1 &
	cd /
	publish '_mta-sts.example.com. TXT "v=STSv1; id=1;"' 'mta-sts.example.com. A 192.0.2.201'
}
