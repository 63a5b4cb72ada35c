package machine

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Program is who listens at a port.
type Program struct {
	Name string // of its command; "" is not known
	PID  int    // 0 is not known
}

// String is for people: "nginx (process 812)".
func (p Program) String() string {
	switch {
	case p.PID == 0:
		return "another program"
	case p.Name == "":
		return fmt.Sprintf("process %d", p.PID)
	}
	return fmt.Sprintf("%s (process %d)", p.Name, p.PID)
}

// Of the tables of sockets (proc_pid_net(5)).
const (
	proc      = "/proc"
	listening = "0A" // TCP_LISTEN
	localAt   = 1    // the columns
	stateAt   = 3
	inodeAt   = 9
)

// Listening says who listens for TCP at those of ports where somebody does, on whatever
// address of this machine. The error is fs.ErrNotExist where the system has no such table.
func Listening(ports ...uint16) (map[uint16]Program, error) { return listeningIn(proc, ports) }

func listeningIn(proc string, ports []uint16) (map[uint16]Program, error) {
	inodes, found := map[string]uint16{}, map[uint16]Program{}
	tables := 0
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(filepath.Join(proc, "net", name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // No IPv6.
		}
		if err != nil {
			return nil, err
		}
		tables++
		err = eachListener(f, func(port uint16, inode string) {
			for _, p := range ports {
				if p == port {
					inodes[inode], found[port] = port, Program{}
				}
			}
		})
		_ = f.Close()
		if err != nil {
			return nil, err
		}
	}
	if tables == 0 {
		return nil, fs.ErrNotExist
	}
	if len(inodes) > 0 {
		holders(proc, inodes, found)
	}
	return found, nil
}

// eachListener reads a table of sockets.
func eachListener(f *os.File, each func(port uint16, inode string)) error {
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) <= inodeAt || fields[stateAt] != listening {
			continue
		}
		_, hex, _ := strings.Cut(fields[localAt], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			each(uint16(port), fields[inodeAt])
		}
	}
	return lines.Err()
}

// holders finds the programs that have sockets; those of others only root sees.
func holders(proc string, inodes map[string]uint16, found map[uint16]Program) {
	all, _ := os.ReadDir(proc)
	for _, dir := range all {
		pid, err := strconv.Atoi(dir.Name())
		if err != nil {
			continue
		}
		fds := filepath.Join(proc, dir.Name(), "fd")
		open, _ := os.ReadDir(fds) // Of a process that ended meanwhile, or is somebody else's, nothing.
		for _, fd := range open {
			to, err := os.Readlink(filepath.Join(fds, fd.Name()))
			inode, is := strings.CutPrefix(to, "socket:[")
			if err != nil || !is {
				continue
			}
			if port, ours := inodes[strings.TrimSuffix(inode, "]")]; ours && found[port].PID == 0 {
				name, _ := os.ReadFile(filepath.Join(proc, dir.Name(), "comm"))
				found[port] = Program{Name: strings.TrimSpace(string(name)), PID: pid}
			}
		}
	}
}
