# example.org explains its refusals, and wants forgeries refused.
machine() {
	installed
	sed -i '/^example.org. TXT/d; /^_dmarc.example.org/d' /run/zone
	openssl genpkey -algorithm ed25519 -out /root/2024a.pem 2>/dev/null
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out /root/k1.pem 2>/dev/null
	publish 'example.org. TXT "v=spf1 mx -all exp=why.example.org"' \
		'why.example.org. TXT "%{i} is not one of the servers of %{d}."' \
		'_dmarc.example.org. TXT "v=DMARC1; p=reject"'
	printf 'From: bob@example.org\nTo: alice@example.net\nSubject: hello\nDate: Tue, 1 Dec 2026 10:00:00 +0000\nMessage-ID: <1@example.org>\n\nHello.\n' >/root/message.eml
}
