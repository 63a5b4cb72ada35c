//go:build !linux

package obs

import "time"

// monotonic is asked for only where systemd runs.
func monotonic() time.Duration { return 0 }
