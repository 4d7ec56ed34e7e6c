package farm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The variables that cmd/tench reads, for what we tell the operator.
const (
	StorageVar = "TENCH_CCACHE_REMOTE"
	HostsVar   = "TENCH_DISTCC_HOSTS"
)

// Check refuses what ccache and distcc would refuse in each of a thousand
// compilations, and what we cannot answer for. A strict build takes no farm:
// neither says who made an object.
func (f Farm) Check(strict bool) error {
	if f == (Farm{}) {
		return nil
	}
	if strict {
		return fmt.Errorf("farm: a strict build uses nothing that it cannot verify, and objects of other machines are such\nhint: unset %s and %s", StorageVar, HostsVar)
	}
	for _, storage := range strings.Fields(f.Storage) {
		if _, err := parseStorage(storage); err != nil {
			return fmt.Errorf("farm: %s: %w", StorageVar, err)
		}
	}
	for _, host := range strings.Fields(f.Hosts) {
		if err := checkHost(host); err != nil {
			return fmt.Errorf("farm: %s: %q: %w", HostsVar, host, err)
		}
	}
	for _, p := range f.Programs() {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("farm: this machine lacks %s\nhint: apt-get install %s", p, p)
		}
	}
	return nil
}

// parseStorage reads one of ccache's storages, a URL with attributes behind
// bars, e.g. "http://farm:8080/cache|read-only" (ccache(1), "Remote storage
// backends"). Errors do not repeat it: it may hold a password.
func parseStorage(text string) (*url.URL, error) {
	address, _, _ := strings.Cut(text, "|")
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("it has no valid URL")
	}
	switch u.Scheme {
	case "file":
		if u.Path == "" || (u.Host != "" && u.Host != "localhost") {
			return nil, fmt.Errorf("%s: file: needs an absolute path, e.g. file:/mnt/ccache", shown(u))
		}
	case "http", "redis":
		if u.Host == "" {
			return nil, fmt.Errorf("%s: it names no host, e.g. %s://farm", shown(u), u.Scheme)
		}
	case "redis+unix":
		if u.Path == "" {
			return nil, fmt.Errorf("%s: it names no socket, e.g. redis+unix:/run/redis/redis.sock", shown(u))
		}
	default:
		return nil, fmt.Errorf("%q is not one of file, http, redis, redis+unix, which ccache knows", u.Scheme)
	}
	return u, nil
}

// checkHost refuses hosts that cannot be asked for their compiler, and those
// that want to preprocess.
func checkHost(host string) error {
	name, options, _ := strings.Cut(host, ",")
	if strings.HasPrefix(host, "+") {
		return errors.New("only hosts that are named can be asked for their compiler")
	}
	if name == "" {
		return errors.New("it names no host")
	}
	for option := range strings.SplitSeq(options, ",") {
		if option == "cpp" {
			return errors.New("the preprocessor stays here, for ccache: leave out cpp")
		}
	}
	return nil
}

// shown is a storage without its password. To ccache who stands alone before a
// host is one, too: redis://[[USERNAME:]PASSWORD@]HOST.
func shown(u *url.URL) string {
	safe := *u
	if _, both := u.User.Password(); u.User != nil && !both {
		safe.User = url.User("xxxxx")
	}
	return safe.Redacted()
}

// State is what became of asking for one of the farm's things.
type State struct {
	What string // the storage without its password, or the host
	Err  error  // nil: it can be reached
}

// Storages tries to reach each storage.
func (f Farm) Storages(ctx context.Context) []State {
	var list []State
	for _, storage := range strings.Fields(f.Storage) {
		u, err := parseStorage(storage)
		if err != nil {
			list = append(list, State{"storage", err})
			continue
		}
		list = append(list, State{shown(u), reach(ctx, u)})
	}
	return list
}

// reachTimeout is for a host of the same network; ccache itself gives up after
// a tenth of a second.
const reachTimeout = 3 * time.Second

func reach(ctx context.Context, u *url.URL) error {
	network, address := "tcp", u.Host
	switch {
	case u.Scheme == "file":
		return unix.Access(storagePath(u), unix.R_OK|unix.W_OK|unix.X_OK)
	case u.Scheme == "redis+unix":
		network, address = "unix", u.Path
	case strings.Contains(u.Host, "*"):
		return nil // shards: their names are in the attributes
	case u.Port() == "":
		address = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "redis": "6379"}[u.Scheme])
	}
	conn, err := (&net.Dialer{Timeout: reachTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// storagePath is the folder of a file: URL, or the nearest one above it that is
// there: ccache makes it.
func storagePath(u *url.URL) string {
	path := u.Path
	for path != "/" {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = path[:max(1, strings.LastIndex(path, "/"))]
	}
	return path
}
