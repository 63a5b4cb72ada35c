package arch

// tier is one row of the table.
type tier struct {
	name     string
	folders  []string
	families bool                // each folder below one of folders is a package of its own
	imports  []string            // tiers it may import
	also     []string            // folders of other tiers it may import too
	own      map[string][]string // by the name of the package: folders only it may import
	all      bool                // may import everything
	refuses  []string            // packages from outside the module that it may not import
	touches  map[string][]string // by the name of the package: such that it may import all the same
}

// Packages that only some tiers may touch.
var (
	network = []string{"net", "net/http", "net/smtp", "os/exec", "os/signal", "syscall", "golang.org/x/sys/unix", "modernc.org/sqlite"}
	pure    = append([]string{"os", "io/ioutil", "log", "log/slog", "database/sql", "math/rand", "math/rand/v2", "crypto/rand"}, network...)
)

// callers are methods that only one package below internal may call: their names
// are given to nothing else there.
var callers = map[string]string{
	// Mail comes in by one door.
	"Deliver":         "internal/engine/intake",
	"DeliverNumbered": "internal/engine/intake",
}

// oneEngine are packages that are parts of another: the tables of both are those of
// one engine, whichever of them makes them.
var oneEngine = map[string]string{
	// Custody and schedule of the same mail: deliveries are listed, counted and found
	// by what the item says, which only one statement over both can do.
	"internal/engine/spool": "internal/engine/queue",
}

// tiers is the table of style.md. Exceptions stand beside their rule.
var tiers = []tier{
	{
		name:    "words",
		folders: []string{"internal/mail", "internal/scan", "internal/dns", "internal/message"},
		imports: []string{"words"},
		refuses: pure,
	},
	{
		name:     "languages",
		folders:  []string{"internal/proto", "internal/mailauth"},
		families: true,
		imports:  []string{"words"},
		// RFC 8617 is made of RFC 6376 and RFC 8601.
		own:     map[string][]string{"arc": {"internal/mailauth/authres", "internal/mailauth/dkim"}},
		refuses: pure,
	},
	{
		name:     "world",
		folders:  []string{"internal/world"},
		families: true,
		imports:  []string{"words", "world"},
	},
	{
		name:     "engines",
		folders:  []string{"internal/engine"},
		families: true,
		imports:  []string{"words", "world", "engines"},
		// Of the languages, those that are not a conversation's.
		also:    []string{"internal/proto/sieve", "internal/proto/dsn", "internal/mailauth"},
		refuses: network,
	},
	{
		name:     "conversations",
		folders:  []string{"internal/session"},
		families: true,
		imports:  []string{"words", "world", "engines"},
		also:     []string{"internal/proto/sasl"}, // logging in is the same in all
		own: map[string][]string{
			"smtpd":        {"internal/proto/smtp"},
			"courier":      {"internal/mailauth/tlsrpt"}, // what TLS came to with its sessions
			"smtpc":        {"internal/proto/smtp"},
			"imapc":        {"internal/proto/imap"},
			"imapd":        {"internal/proto/imap"},
			"ldapc":        {"internal/proto/ldap"},
			"milterc":      {"internal/proto/milter"},
			"pop3d":        {"internal/proto/pop3"},
			"managesieved": {"internal/proto/managesieve"},
			"jmapd":        {"internal/proto/jmap"},
			"webd":         {"internal/mailauth/mtasts"},
		},
		refuses: append([]string{"database/sql"}, network...),
		// The language of the web is net/http. webd has it speak over connections of netx; it
		// listens and dials nowhere.
		touches: map[string][]string{"webd": {"net", "net/http"}, "clientconf": {"net/http"}},
	},
	{
		name:     "tests",
		folders:  []string{"internal/testkit"},
		families: true,
		all:      true,
	},
	{
		name:    "installation", // files that are put onto a machine
		folders: []string{"deploy"},
		refuses: pure,
	},
	{
		name:    "assembly",
		folders: []string{"internal/server", "cmd/yubin"},
		imports: []string{"words", "languages", "world", "engines", "conversations", "assembly", "installation"},
	},
}
