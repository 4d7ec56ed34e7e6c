package identity

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
)

// From is the list of a key's from="…" option, as sshd(8) has it: a source must
// match one pattern, and none with a "!" before it. Patterns are addresses,
// networks, and addresses with * and ?; names of hosts are refused, because a
// box must not need a name server to let somebody in.
type From []pattern

type pattern struct {
	not     bool
	network netip.Prefix // of an address or network
	text    string       // of an address with * or ?
}

func parseFrom(list string) (From, error) {
	var f From
	for _, item := range strings.Split(list, ",") {
		var p pattern
		p.text, p.not = strings.CutPrefix(item, "!")
		switch a, err := netip.ParseAddr(p.text); {
		case err == nil && a.Zone() == "":
			p.network = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		case strings.Contains(p.text, "/"):
			n, err := netip.ParsePrefix(p.text)
			if err != nil {
				return nil, fmt.Errorf("%q is not a network", p.text)
			}
			if n != n.Masked() {
				return nil, fmt.Errorf("%q has bits beyond the network; %s is one", p.text, n.Masked())
			}
			p.network = n
		case p.text != "" && strings.Trim(p.text, "0123456789abcdefABCDEF.:*?") == "" && strings.ContainsAny(p.text, "*?"):
			p.text = strings.ToLower(p.text)
		default:
			return nil, fmt.Errorf("%q is neither an address, a network nor an address with * or ?; names of hosts are not looked up", p.text)
		}
		f = append(f, p)
	}
	return f, nil
}

// Allows reports whether a connection may come from the address a; an empty list
// allows all.
func (f From) Allows(a netip.Addr) bool {
	if len(f) == 0 {
		return true
	}
	allowed := false
	for _, p := range f {
		if !p.match(a) {
			continue
		}
		if p.not {
			return false
		}
		allowed = true
	}
	return allowed
}

func (p pattern) match(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if p.network.IsValid() {
		return p.network.Contains(a)
	}
	ok, err := path.Match(p.text, a.String()) // no pattern here has brackets or a backslash
	return err == nil && ok
}
