# What make run starts.
machine() {
	elsewhere_names
	install -m 755 /root/yubin /usr/local/bin/yubin
	stays 2993 'cd /root && exec yubin localserve'
	printf 'From: alice@yubin.test\nTo: bob@yubin.test\nSubject: hello\n\nHello.\n' >/root/message.eml
	printf 'a picture' >/root/picture.png
}
