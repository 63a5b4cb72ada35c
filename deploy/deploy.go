// Package deploy has the files with which yubin is installed, as yubin setup writes them.
package deploy

import _ "embed"

// Unit is the service of systemd, for a program at /usr/local/bin/yubin.
//
//go:embed yubin.service
var Unit string
