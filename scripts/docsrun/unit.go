//go:build linux

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A unit is what a file of systemd says in its section [Service].
type unit struct {
	name   string
	values map[string][]string
}

// applied are the directives that this stand-in does as systemd would.
var applied = []string{
	"Type", "NotifyAccess", "ExecStartPre", "ExecStart", "ExecReload", "Restart", "RestartSec", "TimeoutStartSec", "TimeoutStopSec",
	"LimitNOFILE", "User", "Group", "UMask", "Environment", "StateDirectory", "StateDirectoryMode", "RuntimeDirectory",
	"RuntimeDirectoryMode", "ConfigurationDirectory", "AmbientCapabilities", "CapabilityBoundingSet", "NoNewPrivileges",
	"ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectHostname", "ProtectProc", "ProcSubset",
	"ReadWritePaths", "ReadOnlyPaths", "BindPaths", "BindReadOnlyPaths",
}

// leftOut are those that it leaves out, and why.
var leftOut = map[string]string{
	"ProtectClock": covered, "ProtectKernelLogs": covered, "ProtectKernelModules": covered, "ProtectKernelTunables": covered,
	"ProtectControlGroups": covered, "RemoveIPC": "the machine ends with the page",
	"RestrictAddressFamilies": seccomp, "RestrictNamespaces": seccomp, "RestrictRealtime": seccomp, "RestrictSUIDSGID": seccomp,
	"LockPersonality": seccomp, "MemoryDenyWriteExecute": seccomp, "SystemCallArchitectures": seccomp,
	"SystemCallFilter": seccomp, "SystemCallErrorNumber": seccomp,
}

const (
	covered = "the capabilities, the read-only root and the private /proc and /dev do it here"
	seccomp = "needs seccomp"
)

// loadUnit reads the file of a unit and its drop-ins, below root.
func loadUnit(root, name string) (*unit, error) {
	name = strings.TrimSuffix(name, ".service")
	u := &unit{name: name, values: map[string][]string{}}
	path := filepath.Join(root, "etc/systemd/system", name+".service")
	if err := u.read(path); err != nil {
		return nil, fmt.Errorf("unit %s.service not found: %w", name, err)
	}
	more, err := filepath.Glob(path + ".d/*.conf")
	if err != nil {
		return nil, err
	}
	slices.Sort(more)
	for _, m := range more {
		if err := u.read(m); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func (u *unit) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	section := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			section = line
			continue
		}
		if section != "[Service]" {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		if _, known := leftOut[key]; !known && !slices.Contains(applied, key) {
			return fmt.Errorf("%s: docs-run neither applies %s nor knows why not; see scripts/docsrun/unit.go", path, key)
		}
		if value == "" {
			delete(u.values, key) // An empty value forgets what was said before.
			continue
		}
		u.values[key] = append(u.values[key], value)
	}
	return nil
}

func (u *unit) last(key string) string {
	if v := u.values[key]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

func (u *unit) yes(key string) bool {
	return slices.Contains([]string{"yes", "true", "on", "1"}, u.last(key))
}

// words are all words of all lines of key.
func (u *unit) words(key string) []string {
	return strings.Fields(strings.Join(u.values[key], " "))
}

func (u *unit) duration(key string, otherwise time.Duration) time.Duration {
	text := u.last(key)
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	if n, err := strconv.Atoi(text); err == nil {
		return time.Duration(n) * time.Second
	}
	return otherwise
}

// mode is an octal number.
func (u *unit) mode(key string, otherwise os.FileMode) os.FileMode {
	if n, err := strconv.ParseUint(u.last(key), 8, 12); err == nil {
		return os.FileMode(n)
	}
	return otherwise
}

// omitted are the directives of u that are left out, with their reasons.
func (u *unit) omitted() map[string][]string {
	why := map[string][]string{}
	for key := range u.values {
		if reason, ok := leftOut[key]; ok {
			why[reason] = append(why[reason], key)
		}
	}
	for _, keys := range why {
		slices.Sort(keys)
	}
	return why
}
