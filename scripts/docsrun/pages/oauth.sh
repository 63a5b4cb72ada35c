# id.example.org is a provider of identities: files at a web server of its own, and a token
# that it made for alice.
machine() {
	installed
	alone
	started
	people
	local issuer=https://id.example.org/realms/staff at=/srv/id/realms/staff now
	certificate /srv/id id.example.org
	mkdir -p $at/.well-known
	openssl genrsa -out /srv/id/signing.pem 2048 2>/dev/null
	page $at/.well-known/openid-configuration "{\"issuer\":\"$issuer\",\"jwks_uri\":\"$issuer/keys\"}"
	page $at/keys "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"sig\",\"alg\":\"RS256\",\"kid\":\"of-january\",\"e\":\"AQAB\",\"n\":\"$(
		printf "$(openssl rsa -in /srv/id/signing.pem -noout -modulus | cut -d= -f2 | sed 's/../\\x&/g')" | base64url
	)\"}]}"
	now=$(date +%s)
	token "{\"iss\":\"$issuer\",\"aud\":\"mail\",\"sub\":\"f1c7a2d0\",\"azp\":\"thunderbird\",\"email\":\"alice@example.org\",\"exp\":$((now + 3600))}" >/root/token.txt
	(cd /srv/id && exec setsid openssl s_server -quiet -HTTP -accept 192.0.2.204:443 -cert fullchain.pem -key privkey.pem </dev/null >/var/log/id 2>&1) &
	publish 'id.example.org. A 192.0.2.204'
}

# page FILE TEXT is a page of the web server, with its header.
page() { printf '%s\r\n' 'HTTP/1.0 200 OK' 'Content-Type: application/json' '' "$2" >"$1"; }

# token CLAIMS makes a token.
token() {
	local text
	text=$(printf '{"alg":"RS256","typ":"at+jwt","kid":"of-january"}' | base64url).$(printf %s "$1" | base64url)
	printf '%s.%s\n' "$text" "$(printf %s "$text" | openssl dgst -sha256 -sign /srv/id/signing.pem | base64url)"
}

base64url() { base64 -w0 | tr +/ -_ | tr -d =; }
