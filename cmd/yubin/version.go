package main

import (
	"runtime"
	"runtime/debug"
)

type versionCmd struct{}

func (versionCmd) Run(e *env) error {
	out := struct {
		Version  string `json:"version"`
		Go       string `json:"go"`
		Platform string `json:"platform"`
	}{e.versionText(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	return e.did(out, "yubin %s (%s, %s)", out.Version, out.Go, out.Platform)
}

// versionText is the version that the linker was given, or what Go knows of
// the source.
func (e *env) versionText() string {
	if e.version != "" {
		return e.version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "unversioned"
}
