package config

import (
	"net/netip"
	"regexp"
	"strings"
)

// askRE finds the words that ask for a value, e.g. "CHANGE-ME" or "replaceme2".
// They stand alone: "gw0-replacement" and "exchange-melbourne" are good names.
var askRE = regexp.MustCompile(`(^|[^a-z])(change|replace)[-_ ]?me([^a-z]|$)`)

// placeholder reports whether s is what an example holds until somebody writes
// the real value: "changeme", "<your name>", "x.x.x.x", and the names that RFC
// 2606 sets aside for examples.
func placeholder(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	switch {
	case s == "", strings.ContainsAny(s, "<>"), askRE.MatchString(s):
		return true
	case s == "todo", s == "fixme", s == "tbd", s == "xxx":
		return true
	}
	host, _, _ := strings.Cut(s, "/")
	return crossedOut(host) || exampleDomain(host)
}

// crossedOut reports whether an address has x for a number, e.g. "10.x.x.1".
func crossedOut(host string) bool {
	parts := strings.FieldsFunc(host, func(c rune) bool { return c == '.' || c == ':' })
	crossed := false
	for _, part := range parts {
		rest := strings.Trim(part, "0123456789abcdef")
		if strings.Trim(rest, "x") != "" {
			return false
		}
		crossed = crossed || rest != ""
	}
	return crossed && len(parts) > 2
}

func exampleDomain(host string) bool {
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := labels[len(labels)-1]
	if last == "example" || last == "invalid" {
		return true
	}
	tld := last == "com" || last == "net" || last == "org"
	return tld && len(labels) > 1 && labels[len(labels)-2] == "example"
}

// hostname reads a host name (RFC 1123, section 2.1), alone or with a domain.
// Linux keeps at most 64 bytes of it.
func (r *reader) hostname(at place, v any) string {
	s := r.text(at, v)
	if s == "" {
		return ""
	}
	if len(s) > 64 {
		r.bad(at, "", "%s is longer than 64 characters", show(s))
		return ""
	}
	return r.domain(at, s)
}

// domain checks a domain name.
func (r *reader) domain(at place, s string) string {
	if !IsDomain(s) {
		r.bad(at, "at most 253 characters; labels between dots have 1 to 63 letters, digits and hyphens, and no hyphen at their ends",
			"%s is not a host or domain name", show(s))
		return ""
	}
	return s
}

// IsDomain reports whether s is a domain name: labels of 1 to 63 letters,
// digits and hyphens, no hyphen at either end, 253 characters in all (RFC 1123,
// section 2.1).
func IsDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if len(label) == 0 || len(label) > 63 || !only(label, isLetter, isDigit, oneOf("-")) ||
			strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
	}
	return len(s) <= 253
}

// interfaceName checks a name by the kernel's rules (dev_valid_name in
// net/core/dev.c), and keeps to characters that need no quoting in a shell or
// a file name. It also fits the device names of physical interfaces.
func (r *reader) interfaceName(at place, s string) {
	switch {
	case len(s) > 15:
		r.bad(at, "", "%s is longer than the 15 characters that the kernel takes for a name", show(s))
	case s == "all" || s == "default":
		r.bad(at, "choose another name", "%q means every interface to the kernel's sysctls", s)
	case s == "" || !only(s, isLetter, isDigit, oneOf("-_.")) || !only(s[:1], isLetter, isDigit):
		r.bad(at, "", "%s is no interface name: it has letters, digits, \"-\", \"_\" and \".\", a letter or digit first", show(s))
	}
}

// host checks a server's name or address.
func (r *reader) host(at place, s string) string {
	a, err := netip.ParseAddr(s)
	if err == nil {
		if r.unicast(at, a) {
			return s
		}
		return ""
	}
	if strings.Contains(s, ":") || only(s, isDigit, oneOf(".")) {
		r.bad(at, "", "%s is not an address: %s", show(s), addrError(err))
		return ""
	}
	return r.domain(at, s)
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

// isHex takes lower case only, as the kernel prints it.
func isHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' }

func oneOf(set string) func(byte) bool {
	return func(c byte) bool { return strings.IndexByte(set, c) >= 0 }
}

// only reports whether each byte of s is of one of the classes.
func only(s string, classes ...func(byte) bool) bool {
next:
	for i := range len(s) {
		for _, is := range classes {
			if is(s[i]) {
				continue next
			}
		}
		return false
	}
	return true
}
