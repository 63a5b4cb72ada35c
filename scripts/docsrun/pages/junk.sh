machine() {
	installed
	started
	people
	maildir /srv/junk zoe yan xander
	maildir /var/vmail/alice ann ben
}
