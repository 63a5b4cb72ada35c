package machine

import (
	"os"

	"golang.org/x/sys/unix"
)

// Of what the kernel says of its clock (adjtimex(2)).
const (
	timeError   = 5                                    // TIME_ERROR: it is not synchronised
	timesyncTip = "/run/systemd/timesync/synchronized" // systemd-timesyncd has set it
)

// ReadClock asks the kernel; a service that may not (ProtectClock) asks whether
// systemd-timesyncd has set it.
func ReadClock() Clock {
	state, err := unix.Adjtimex(&unix.Timex{})
	switch {
	case err == nil && state == timeError:
		return ClockLeft
	case err == nil:
		return ClockKept
	}
	if _, err := os.Stat(timesyncTip); err == nil {
		return ClockKept
	}
	return ClockUnknown
}
