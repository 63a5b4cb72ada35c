# Nothing is installed, and the domain has no names yet.
machine() {
	elsewhere_names
	sed -i '/example\.org\./d' /run/zone
	publish
}
