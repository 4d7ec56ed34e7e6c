package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"tench/internal/remote"
)

// Dest is where a tree is.
type Dest struct {
	User string // "" for the one that ~/.ssh/config or the system names
	Host string // a name, an address or an alias of ~/.ssh/config; "" for this machine
	Port string // "" for the one of ~/.ssh/config, or 22
	Path string // without a leading slash: below the user's home directory there
}

// ParseDest reads a destination as it is typed: /path/to/tree,
// ssh://user@host:port/path, or user@host:path as scp(1) has it. What has a
// slash before its first colon is a path.
func ParseDest(s string) (Dest, error) {
	d, err := parseDest(s)
	if err == nil {
		err = d.check()
	}
	if err != nil {
		// A password that was typed after all is not for logs.
		shown := passwordRE.ReplaceAllString(s, "://…@")
		return Dest{}, fmt.Errorf("destination %q: %w\nhint: /path/to/tree, ssh://user@host:port/path or user@host:path", shown, err)
	}
	return d, nil
}

var passwordRE = regexp.MustCompile(`://[^/]*:[^/]*@`)

func parseDest(s string) (Dest, error) {
	for _, scheme := range []string{"ssh://", "sftp://"} {
		if strings.HasPrefix(s, scheme) {
			return parseURL(s)
		}
	}
	if strings.Contains(s, "://") {
		return Dest{}, errors.New("only ssh:// is known")
	}
	at := strings.IndexByte(s, ':')
	if user, rest, ok := strings.Cut(s, "["); ok && (user == "" || strings.HasSuffix(user, "@")) {
		// An IPv6 address in brackets has colons of its own.
		if end := strings.Index(rest, "]:"); end >= 0 {
			at = len(user) + 1 + end + 1
		}
	}
	if at < 0 || strings.Contains(s[:at], "/") {
		return Dest{Path: filepath.Clean(s)}, emptyPath(s)
	}
	host, path := s[:at], s[at+1:]
	var d Dest
	if user, rest, ok := strings.Cut(host, "@"); ok {
		d.User, host = user, rest
		if user == "" {
			return d, errors.New("no user before the @")
		}
	}
	d.Host = host
	if inside, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inside, "]") {
		d.Host = strings.TrimSuffix(inside, "]")
	}
	d.Path = belowHome(path, "~")
	if d.Host == "" {
		return d, errors.New("no host before the colon")
	}
	return d, emptyPath(d.Path)
}

func parseURL(s string) (Dest, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Dest{}, errors.Unwrap(err)
	}
	d := Dest{User: u.User.Username(), Host: u.Hostname(), Port: u.Port(), Path: u.Path}
	d.Path = belowHome(u.Path, "/~")
	if _, has := u.User.Password(); has {
		return d, errors.New("a password has no place on a command line: every user of this machine can read it there")
	}
	if d.Host == "" {
		return d, errors.New("no host")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return d, errors.New("it has a query or a fragment")
	}
	if port, err := strconv.Atoi(d.Port); d.Port != "" && (err != nil || port < 1 || port > 65535) {
		return d, fmt.Errorf("port %q is not from 1 to 65535", d.Port)
	}
	return d, emptyPath(strings.Trim(d.Path, "/"))
}

// belowHome is a path that may begin with the home directory, which a path
// without a leading slash is relative to anyhow.
func belowHome(path, home string) string {
	if below, ok := strings.CutPrefix(path, home); ok && (below == "" || below[0] == '/') {
		return strings.TrimLeft(below, "/")
	}
	return path
}

func emptyPath(path string) error {
	if path == "" {
		return errors.New("no path")
	}
	return nil
}

func (d Dest) host() remote.Host { return remote.Host{User: d.User, Name: d.Host, Port: d.Port} }

// check refuses what could be taken for something else further on.
func (d Dest) check() error {
	if strings.ContainsFunc(d.Path, unicode.IsControl) {
		return errors.New("it has a control character")
	}
	if d.Host == "" {
		return nil
	}
	return d.host().Check()
}

// String is the destination as scp(1) has it, for messages and commands.
func (d Dest) String() string {
	switch {
	case d.Host == "":
		return d.Path
	case d.Port != "":
		u := url.URL{Scheme: "ssh", Host: net.JoinHostPort(d.Host, d.Port), Path: d.Path}
		if d.User != "" {
			u.User = url.User(d.User)
		}
		if !strings.HasPrefix(d.Path, "/") {
			u.Path = "/~/" + d.Path
		}
		return u.String()
	}
	path := d.Path
	if belowHome(path, "~") != path {
		path = "~/" + path
	}
	host := d.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if d.User != "" {
		host = d.User + "@" + host
	}
	return host + ":" + path
}

// Open reaches the tree. The caller closes it. Cancelling ctx ends a connection
// a few seconds later: until then a run may give its lock back.
func Open(ctx context.Context, d Dest, o remote.Options) (*Tree, error) {
	if d.Host != "" {
		r, err := dial(ctx, d, o)
		if err != nil {
			return nil, fmt.Errorf("publish: %s: %w", d, err)
		}
		return &Tree{r}, nil
	}
	dir, err := filepath.Abs(d.Path)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return &Tree{local{dir}}, nil
}
