machine() {
	installed
	started
	people
	filled
	sed 's,/var/lib/yubin,/var/lib/yubin-new,' /etc/yubin/yubin.toml >/root/new.toml
}
