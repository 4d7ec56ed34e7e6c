package config

import "strings"

// portPrefix tells a label on the case from a kernel name: either is one word.
const portPrefix = "port:"

const deviceForms = `a device is a kernel name ("eth0"), a label on the case ("port:WAN"), ` +
	`a MAC address ("52:54:00:12:34:56") or a path on the bus ("pci-0000:00:10.0")`

// selector reads a device in one of its four forms.
func (r *reader) selector(at place, v any) Selector {
	s := r.text(at, v)
	switch {
	case s == "":
		return Selector{}
	case strings.HasPrefix(s, portPrefix):
		return Selector{Port: r.portLabel(at, strings.TrimPrefix(s, portPrefix))}
	case isPath(s):
		return Selector{Path: r.busPath(at, s)}
	case strings.Contains(s, ":") || len(s) == 17 && strings.Count(s, "-") == 5:
		return Selector{MAC: r.mac(at, s)}
	case s == "lo":
		r.bad(at, "the loopback is always there: call the interface itself lo, [interface.lo]", "lo is not a network port")
		return Selector{}
	}
	before := len(r.problems)
	r.interfaceName(at, s)
	if len(r.problems) > before {
		r.problems[before].Hint = deviceForms
		return Selector{}
	}
	return Selector{Name: s}
}

func (r *reader) portLabel(at place, label string) string {
	if label == "" || len(label) > 32 || strings.TrimSpace(label) != label || !printable(label) {
		r.bad(at, "write the label as board.toml has it, e.g. \"port:WAN\"", "%s is no port label", show(label))
		return ""
	}
	return label
}

// isPath reports whether s begins like a path of udev's ID_PATH.
func isPath(s string) bool {
	for _, bus := range []string{"pci-", "usb-", "platform-"} {
		if strings.HasPrefix(s, bus) {
			return true
		}
	}
	return false
}

func (r *reader) busPath(at place, s string) string {
	const hint = "`tenchd report -` lists the devices of a box with their paths"
	if !only(s, isLetter, isDigit, oneOf("-_.:+@,")) {
		r.bad(at, hint, "%s is no path on a bus", show(s))
		return ""
	}
	if addr, ok := strings.CutPrefix(s, "pci-"); ok && !startsWithPCIAddress(addr) {
		r.bad(at, hint, "%s is no PCI path: it begins like pci-0000:00:10.0, in lower case", show(s))
		return ""
	}
	return s
}

// startsWithPCIAddress checks domain:bus:device.function, with what hangs on
// the PCI device behind it, e.g. "0000:00:14.0-usb-0:1:1.0".
func startsWithPCIAddress(s string) bool {
	addr, _, _ := strings.Cut(s, "-")
	const shape = "hhhh:hh:hh.h"
	if len(addr) != len(shape) {
		return false
	}
	for i := range len(shape) {
		if shape[i] == 'h' && !isHex(addr[i]) || shape[i] != 'h' && addr[i] != shape[i] {
			return false
		}
	}
	return true
}

// mac checks a MAC address and returns it in lower case, as the kernel does.
func (r *reader) mac(at place, s string) string {
	mac := strings.ToLower(s)
	octets := strings.Split(mac, ":")
	ok := len(octets) == 6
	for _, o := range octets {
		ok = ok && len(o) == 2 && only(o, isHex)
	}
	switch {
	case !ok:
		r.bad(at, deviceForms, "%s is not a MAC address: that is six pairs of hex digits with colons between them", show(s))
	case mac == "00:00:00:00:00:00":
		r.bad(at, "", "%s is no device's address", s)
	case strings.Contains("13579bdf", mac[1:2]): // the group bit, IEEE 802-2014, 8.2.2
		r.bad(at, "", "%s is a multicast address, which no device has", s)
	default:
		return mac
	}
	return ""
}

func printable(s string) bool {
	return only(s, func(c byte) bool { return ' ' <= c && c <= '~' })
}
