package remote

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/kevinburke/ssh_config"
)

// Host is a host as the operator names it.
type Host struct {
	User string // "" for the one that ~/.ssh/config or Options names
	Name string // a name, an address or an alias of ~/.ssh/config
	Port string // "" for the one of ~/.ssh/config, or 22
}

var (
	nameRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	userRE = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.+-]*$`)
)

// ParseHost reads [user@]name[:port]. An IPv6 address with a port is in
// brackets.
func ParseHost(s string) (Host, error) {
	h, err := parseHost(s)
	if err == nil {
		err = h.Check()
	}
	if err != nil {
		return Host{}, fmt.Errorf("host %q: %w\nhint: [user@]name[:port], e.g. gw0, root@192.168.1.1:22, [2001:db8::1]:22", s, err)
	}
	return h, nil
}

func parseHost(s string) (Host, error) {
	var h Host
	if user, rest, ok := strings.Cut(s, "@"); ok {
		if h.User, s = user, rest; user == "" {
			return h, errors.New("no user before the @")
		}
	}
	if inside, ok := strings.CutPrefix(s, "["); ok {
		name, port, closed := strings.Cut(inside, "]")
		if !closed {
			return h, errors.New("no ] behind the [")
		}
		if _, err := netip.ParseAddr(name); err != nil {
			return h, fmt.Errorf("%q is no address", name)
		}
		if h.Name = name; port == "" {
			return h, nil
		}
		port, ok := strings.CutPrefix(port, ":")
		if !ok {
			return h, errors.New("no : behind the ]")
		}
		h.Port = port
		return h, checkPort(port)
	}
	if _, err := netip.ParseAddr(s); err == nil {
		h.Name = s
		return h, nil
	}
	name, port, ok := strings.Cut(s, ":")
	h.Name, h.Port = name, port
	if ok {
		return h, checkPort(port)
	}
	return h, nil
}

func checkPort(port string) error {
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return fmt.Errorf("port %q is not from 1 to 65535", port)
	}
	return nil
}

// Check refuses names that could be taken for something else further on.
func (h Host) Check() error {
	if h.User != "" && !userRE.MatchString(h.User) {
		return fmt.Errorf("%q is no user's name", h.User)
	}
	if _, err := netip.ParseAddr(h.Name); err != nil && !nameRE.MatchString(h.Name) {
		return fmt.Errorf("%q is no host's name", h.Name)
	}
	return nil
}

// String is the host as ParseHost takes it.
func (h Host) String() string {
	s := h.Name
	switch {
	case h.Port != "":
		s = net.JoinHostPort(h.Name, h.Port)
	case strings.Contains(h.Name, ":"):
		s = "[" + h.Name + "]"
	}
	if h.User != "" {
		s = h.User + "@" + s
	}
	return s
}

// target is a host with what ~/.ssh/config says of it.
type target struct {
	user, name, port string
	identities       []string // files of keys, in this order
	known            []string // known_hosts files
}

func (t target) address() string { return net.JoinHostPort(t.name, t.port) }

// sshConfig is what ssh_config(5) files say of a host, the user's first.
type sshConfig struct {
	files []*ssh_config.Config
	host  string
}

func readConfig(home, host string) (sshConfig, error) {
	c := sshConfig{host: host}
	for _, path := range []string{filepath.Join(home, ".ssh", "config"), "/etc/ssh/ssh_config"} {
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return c, fmt.Errorf("ssh: %w", err)
		}
		cfg, err := ssh_config.Decode(bytes.NewReader(data))
		if err != nil {
			return c, fmt.Errorf("ssh: read %s: %w", path, err)
		}
		if line := beyond(cfg); line != "" {
			return c, fmt.Errorf("ssh: %s: %q is not understood\nhint: tench reads Host, Match all, and Match host with one pattern", path, line)
		}
		c.files = append(c.files, cfg)
	}
	return c, nil
}

// beyond is a Match line with more than the library understands: it takes further
// criteria, and a list of patterns, for one pattern each.
func beyond(cfg *ssh_config.Config) string {
	for _, h := range cfg.Hosts {
		line, _, _ := strings.Cut(strings.TrimSpace(h.String()), "\n")
		several := len(h.Patterns) > 1 || len(h.Patterns) == 1 && strings.Contains(h.Patterns[0].String(), ",")
		if strings.HasPrefix(line, "Match") && several {
			return line
		}
	}
	return ""
}

func (c sshConfig) all(key string) []string {
	var values []string
	for _, f := range c.files {
		v, _ := f.GetAll(c.host, key) // its errors are of Include files, which Decode has read
		values = append(values, v...)
	}
	return values
}

func (c sshConfig) one(key string) string { return first(c.all(key)...) }

// first is the first value that is not empty.
func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// resolve looks the host up in the user's ssh_config(5), then in the system's.
func resolve(given Host, o Options) (target, error) {
	c, err := readConfig(o.Home, given.Name)
	if err != nil {
		return target{}, err
	}
	t := target{port: first(given.Port, c.one("Port"), "22"), user: first(given.User, c.one("User"), o.User)}
	t.name = given.Name // it may have a zone, e.g. %hn0
	if name := c.one("HostName"); name != "" {
		t.name = strings.ReplaceAll(name, "%h", given.Name)
	}
	for _, key := range []string{"ProxyJump", "ProxyCommand"} {
		if v := c.one(key); v != "" && v != "none" {
			return t, fmt.Errorf("ssh: ~/.ssh/config wants %s %s, which tench does not do\nhint: forward a port with ssh -L, and go to port PORT of localhost", key, v)
		}
	}
	expand := strings.NewReplacer("%%", "%", "%d", o.Home, "%h", t.name, "%r", t.user, "%u", o.Local)
	path := func(p string) string {
		p = expand.Replace(p)
		if below, ok := strings.CutPrefix(p, "~/"); ok {
			p = filepath.Join(o.Home, below)
		}
		return p
	}
	for _, f := range c.all("IdentityFile") {
		t.identities = append(t.identities, path(f))
	}
	if o.KnownHosts != "" {
		t.known = []string{o.KnownHosts}
		return t, nil
	}
	for _, f := range strings.Fields(first(c.one("UserKnownHostsFile"), "~/.ssh/known_hosts ~/.ssh/known_hosts2")) {
		if f == "none" { // ssh_config(5): no file at all
			f = os.DevNull
		}
		t.known = append(t.known, path(f))
	}
	t.known = append(t.known, "/etc/ssh/ssh_known_hosts")
	return t, nil
}
