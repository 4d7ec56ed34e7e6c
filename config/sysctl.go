package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// trees are the parts of /proc/sys that a configuration may write to.
var trees = []string{"net", "kernel", "vm", "fs"}

// owned are the sysctls that other keys decide, with "*" for one part.
var owned = []struct{ key, instead string }{
	{"net.ipv4.ip_forward", "use forwarding = true or false"},
	{"net.ipv4.conf.*.forwarding", "use forwarding = true or false"},
	{"net.ipv6.conf.*.forwarding", "use forwarding = true or false"},
	{"net.ipv6.conf.*.accept_ra", "use slaac = true or false of the interface"},
	{"net.ipv6.conf.*.autoconf", "use slaac = true or false of the interface"},
	{"net.ipv6.conf.*.mtu", "use mtu of the interface"},
	{"net.ipv4.conf.*.promote_secondaries", "leave it out: it has to be on for addresses to be changed one by one"},
	{"kernel.hostname", "use hostname"},
	{"kernel.ctrl-alt-del", "leave it out: these keys have tenchd reboot in good order"},
}

func compareSysctls(a, b Sysctl) int { return strings.Compare(a.Key, b.Key) }

// parseSysctls reads [sysctl]. A key may be quoted as a whole or not: without
// quotes TOML makes tables of its parts, so that "net.core.rmem_max" arrives as
// rmem_max in core in net. prefix is the part already read.
func (p *parser) parseSysctls(at place, prefix string, table map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		key := prefix + name
		if sub, ok := table[name].(map[string]any); ok {
			p.parseSysctls(at.key(name), key+".", sub)
			continue
		}
		p.parseSysctl(at.key(name), key, table[name])
	}
}

func (p *parser) parseSysctl(at place, key string, v any) {
	value, ok := p.sysctlValue(at, v)
	if !p.sysctlKey(at, key) || !ok {
		return
	}
	if slices.ContainsFunc(p.cfg.Sysctls, func(s Sysctl) bool { return s.Key == key }) {
		p.bad(at, "", "is set twice, with quotes and without")
		return
	}
	p.cfg.Sysctls = append(p.cfg.Sysctls, Sysctl{key, value})
}

func (r *reader) sysctlValue(at place, v any) (string, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	case int64:
		return strconv.FormatInt(v, 10), true
	case string:
		s := r.text(at, v)
		if !only(s, func(c byte) bool { return c == '\t' || ' ' <= c && c <= '~' }) || len(s) > 1024 {
			r.bad(at, "", "%s is not one line of at most 1024 printable ASCII characters", show(s))
			return "", false
		}
		return s, s != ""
	}
	r.bad(at, "", "%s is not a string, a whole number, true or false", show(v))
	return "", false
}

func (p *parser) sysctlKey(at place, key string) bool {
	parts := strings.Split(key, ".")
	if !slices.Contains(trees, parts[0]) || len(parts) < 2 {
		p.bad(at, "", "is not below %s", strings.Join(trees, ", "))
		return false
	}
	for _, part := range parts {
		if !sysctlPart(part) {
			p.bad(at, "parts between dots have letters, digits, \"-\" and \"_\"; a dot in an interface's name is written \"/\"",
				"%s is no part of a sysctl's name", show(part))
			return false
		}
	}
	for _, o := range owned {
		if sysctlMatch(strings.Split(o.key, "."), parts) {
			p.bad(at, o.instead, "tenchd sets this one itself")
			return false
		}
	}
	return p.sysctlInterface(at, key)
}

// sysctlPart refuses what could lead out of /proc/sys: "/" becomes a dot in
// the path, so that "//" would be its parent folder.
func sysctlPart(part string) bool {
	return part != "" && only(part, isLetter, isDigit, oneOf("-_/")) &&
		!strings.Contains(part, "//") && !strings.HasPrefix(part, "/") && !strings.HasSuffix(part, "/")
}

func sysctlMatch(pattern, parts []string) bool {
	return slices.EqualFunc(pattern, parts, func(want, part string) bool { return want == "*" || want == part })
}

// sysctlInterface checks the interface in a key that has one: it is the name
// in this file, whatever the kernel calls the device.
func (p *parser) sysctlInterface(at place, key string) bool {
	name, ok := SysctlInterface(key)
	if !ok {
		return true
	}
	if _, known := p.byName[name]; !known {
		p.bad(at, didYouMean(name, p.names()), "there is no interface %q", name)
		return false
	}
	return true
}

// SysctlInterface returns the interface that a sysctl's key is about, e.g.
// "lan.5" for "net.ipv4.conf.lan/5.rp_filter". Keys for all interfaces, and
// for lo, which has the same name everywhere, have none.
func SysctlInterface(key string) (name string, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 5 || parts[0] != "net" || parts[1] != "ipv4" && parts[1] != "ipv6" ||
		parts[2] != "conf" && parts[2] != "neigh" {
		return "", false
	}
	name = strings.ReplaceAll(parts[3], "/", ".")
	return name, name != "all" && name != "default" && name != "lo"
}

// names lists the interfaces of the file, sorted.
func (p *parser) names() []string { return slices.Sorted(maps.Keys(p.byName)) }
