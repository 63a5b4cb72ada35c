machine() {
	installed
	started
	people
}
