package config

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Health is what a slot on trial must bring about, besides the network that the
// rest of router.toml asks for, before it becomes the good one.
type Health struct {
	For         time.Duration // all of it without a break for as long as this; default 1 min
	Within      time.Duration // from the start of the kernel; default 5 min
	Reach       []Target      // hosts that must answer
	Units       []string      // names as in `tenchd status`, e.g. "dhcp wan", "clock"
	Maintenance []string      // interfaces that must be up, with carrier and an address
	Optional    []string      // interfaces that may be missing, or without a lease
}

// Target is a host that answers while the network works.
type Target struct {
	Host string // name or address
	Port int    // TCP; 0 asks by ICMP echo
}

// String is the target as written, e.g. "192.0.2.1" or "ntp.home.arpa:443".
func (t Target) String() string {
	if t.Port == 0 {
		return t.Host
	}
	return net.JoinHostPort(t.Host, strconv.Itoa(t.Port))
}

// Bounds of [health]: a trial that nobody decides keeps a box in limbo.
const (
	maxHealthFor    = time.Hour
	maxHealthWithin = 2 * time.Hour
	maxReach        = 8
)

func (p *parser) parseHealth(in raw) {
	at := top("health")
	h := &p.cfg.Health
	h.For = p.duration(at.key("for"), in.Health.For, period{5 * time.Second, maxHealthFor, time.Minute})
	h.Within = p.duration(at.key("within"), in.Health.Within, period{time.Minute, maxHealthWithin, 5 * time.Minute})
	if h.For > h.Within {
		p.bad(at.key("for"), "give within as much more as the box needs to start", "%s is longer than within, %s", brief(h.For), brief(h.Within))
	}
	reach := p.texts(at.key("reach"), in.Health.Reach)
	if len(reach) > maxReach {
		p.bad(reach[maxReach].at, "", "at most %d hosts", maxReach)
	}
	for _, s := range reach {
		if t, ok := p.target(s); ok {
			h.Reach = append(h.Reach, t)
		}
	}
	for _, s := range p.texts(at.key("unit"), in.Health.Unit) {
		if known := p.unitNames(); !slices.Contains(known, s.text) {
			p.bad(s.at, didYouMean(s.text, known), "there is no unit %s", show(s.text))
			continue
		}
		h.Units = append(h.Units, s.text)
	}
	for _, s := range p.texts(at.key("maintenance"), in.Health.Maintenance) {
		i, known := p.byName[s.text]
		switch {
		case !known:
			p.bad(s.at, didYouMean(s.text, p.names()), "there is no interface %s", show(s.text))
		case i.Kind == Loopback || !i.Up:
			p.bad(s.at, "name one that leads to you", "interface %s is no way into the box", s.text)
		default:
			h.Maintenance = append(h.Maintenance, s.text)
		}
	}
	for _, s := range p.texts(at.key("optional"), in.Health.Optional) {
		_, known := p.byName[s.text]
		switch {
		case !known:
			p.bad(s.at, didYouMean(s.text, p.names()), "there is no interface %s", show(s.text))
		case slices.Contains(h.Maintenance, s.text):
			p.bad(s.at, "name it in one of the two", "maintenance wants %s to be up", s.text)
		case slices.Contains(h.Units, "dhcp "+s.text):
			p.bad(s.at, "name it in one of the two", "unit wants a lease on %s", s.text)
		default:
			h.Optional = append(h.Optional, s.text)
		}
	}
}

// target reads a host or "host:port"; IPv6 addresses with a port have brackets.
func (p *parser) target(s item) (Target, bool) {
	host, port := s.text, 0
	if h, digits, err := net.SplitHostPort(s.text); err == nil {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			p.bad(s.at, "", "%s is no TCP port", show(digits))
			return Target{}, false
		}
		host, port = h, int(n)
	}
	if strings.ContainsAny(host, "%/") {
		p.bad(s.at, "write \"192.0.2.1\" to ask by ICMP echo, \"192.0.2.1:443\" or \"[2001:db8::1]:443\" by TCP", "%s is not a host", show(s.text))
		return Target{}, false
	}
	host = p.host(s.at, host)
	return Target{host, port}, host != ""
}

// unitNames are the units that this file gives the box.
func (p *parser) unitNames() []string {
	names := []string{"clock"}
	for _, i := range p.cfg.Interfaces {
		if i.DHCP4.Enabled {
			names = append(names, "dhcp "+i.Name)
		}
	}
	return names
}
