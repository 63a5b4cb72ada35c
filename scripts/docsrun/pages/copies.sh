machine() {
	installed
	started
	people
	yubin account add archive@example.org --password-stdin </root/password.txt
}
