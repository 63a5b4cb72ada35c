machine() {
	installed
	cp /etc/yubin/yubin.toml /root/yubin.toml
}
