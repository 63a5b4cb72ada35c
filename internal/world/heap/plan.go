package heap

import (
	"bufio"
	"io/fs"
	"strconv"
	"strings"
)

// Plan is how the memory that a process may have is divided, in octets.
type Plan struct {
	Limit    int64 // Go's own, for debug.SetMemoryLimit; 0 for none
	Database int64 // page caches of the database, outside of Go's heap
	Views    int64 // of mailboxes
	Search   int64 // what searches remember
	Hashes   int64 // of passwords, being computed
	Sessions int64 // what sessions hold beyond their small buffers: the Budget
	Fresh    int64 // messages accepted a moment ago, which the queue carries without reading them again
	// Connections is how many there may be: each costs some 16 KiB besides.
	Connections  int
	Couriers     int // that carry mail to other hosts at a time
	SocketBuffer int // of the system for each direction of a connection; 0 leaves it to the system
}

// Parts of a Plan.
const (
	beside        = 24 << 20  // what the process takes besides heap and page caches: the program, the system for its sockets
	perConnection = 128 << 10 // of Go's memory there is for each connection, with all that is not of connections
	perCourier    = 128 << 10 // what one that carries takes: TLS, buffers, answers of the remote, its part of the database
	smallSocket   = 64 << 10  // Plan.SocketBuffer where memory is bounded
	unknownMemory = 4 << 30   // of a machine that does not say
	// MostConnections is what no plan goes beyond.
	MostConnections = 20_000
	mostCouriers    = 10_000
)

// NewPlan divides what there is. root is the file system, "/". If a control
// group bounds memory, all has to fit into the bound; else half of the machine
// may be used, and the system is left to care for the rest. goLimit is a bound
// of Go's memory that somebody set (GOMEMLIMIT), or 0.
func NewPlan(root fs.FS, goLimit int64) Plan {
	var p Plan
	memory := bound(root)
	if memory > 0 {
		p.SocketBuffer = smallSocket
	} else {
		memory = machine(root) / 2
	}
	p.Database = within(memory/8, 8<<20, 64<<20)
	inGo := max(memory/4, memory/10*9-p.Database-beside)
	if p.SocketBuffer > 0 {
		p.Limit = inGo
	}
	if goLimit > 0 {
		p.Limit, inGo = goLimit, min(inGo, goLimit)
	}
	p.Views = within(inGo/8, 4<<20, 256<<20)
	p.Search = within(inGo/16, 2<<20, 64<<20)
	p.Hashes = max(inGo/4, 8<<20)
	p.Sessions = inGo / 5
	p.Fresh = within(inGo/32, 256<<10, 8<<20)
	p.Couriers = int(within(inGo/8/perCourier, 8, mostCouriers))
	p.Connections = int(within(inGo/perConnection, 64, MostConnections))
	return p
}

func within(n, least, most int64) int64 { return min(max(n, least), most) }

// machine is how much memory there is in all.
func machine(root fs.FS) int64 {
	f, err := root.Open("proc/meminfo")
	if err != nil {
		return unknownMemory
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) >= 2 && words[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(words[1], 10, 64); err == nil && kib > 0 {
				return kib << 10
			}
		}
	}
	return unknownMemory
}
