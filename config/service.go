package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// maxServers is how many DNS servers a resolver reads from resolv.conf(5).
const maxServers = 3

func (p *parser) parseDNS(in raw) {
	at := top("dns")
	servers := p.texts(at.key("server"), in.DNS.Server)
	if len(servers) > maxServers {
		p.bad(servers[maxServers].at, "", "resolvers ask at most %d servers", maxServers)
	}
	for _, s := range servers {
		if a, ok := p.resolver(s); ok {
			p.cfg.DNS.Servers = append(p.cfg.DNS.Servers, a)
		}
	}
	for _, s := range p.texts(at.key("search"), in.DNS.Search) {
		if d := p.domain(s.at, s.text); d != "" {
			p.cfg.DNS.Search = append(p.cfg.DNS.Search, d)
		}
	}
}

func (p *parser) resolver(s item) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s.text)
	switch {
	case err != nil:
		p.bad(s.at, "name servers are given by address: somebody must look up the first name", "%s is not an address", show(s.text))
		return a, false
	case !p.unicast(s.at, a):
		return a, false
	case a.IsLoopback():
		p.bad(s.at, "name a server in the network", "%s is this box, which runs no name server", a)
		return a, false
	case a.Is6() && a.IsLinkLocalUnicast():
		p.bad(s.at, "name its global or unique local address", "%s is a link-local address, which does not say on which link", a)
		return a, false
	}
	return a, true
}

func (p *parser) parseNTP(in raw) {
	at := top("ntp")
	for _, s := range p.texts(at.key("server"), in.NTP.Server) {
		if h := p.host(s.at, s.text); h != "" {
			p.cfg.NTP.Servers = append(p.cfg.NTP.Servers, h)
		}
	}
	p.cfg.NTP.Interval = 30 * time.Minute
	at = at.key("interval")
	s := p.text(at, in.NTP.Interval)
	if s == "" {
		return
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		p.bad(at, "write a number with its unit, e.g. \"30m\" or \"2h\"", "%s is not a duration", show(s))
	case d < time.Minute || d > 24*time.Hour:
		p.bad(at, "", "%s is not between 1m and 24h", show(s))
	default:
		p.cfg.NTP.Interval = d
	}
}

// speeds are those that every boot loader, kernel and terminal program shares.
var speeds = []int{9600, 19200, 38400, 57600, 115200}

func (p *parser) parseConsole(in raw) {
	at := top("console")
	for _, s := range p.texts(at.key("port"), in.Console.Port) {
		if p.tty(s) {
			p.cfg.Console.Ports = append(p.cfg.Console.Ports, s.text)
		}
	}
	if in.Console.Speed != nil {
		speed := p.number(at.key("speed"), in.Console.Speed, span{1, most, 0})
		if speed != 0 && !slices.Contains(speeds, speed) {
			p.bad(at.key("speed"), "", "%d is not one of 9600, 19200, 38400, 57600, 115200", speed)
		}
		p.cfg.Console.Speed = speed
	}
	if in.Console.Trusted != nil {
		trusted := p.flag(at.key("trusted"), in.Console.Trusted, false)
		p.cfg.Console.Trusted = &trusted
	}
}

func (p *parser) parseSSH(in raw) {
	if !p.reader.file.Has("ssh") {
		return
	}
	at := top("ssh")
	p.cfg.SSH.Port = p.number(at.key("port"), in.SSH.Port, span{1, 65535, 22})
	if in.SSH.Interface == nil {
		p.bad(at, "name the interfaces to listen on, e.g. interface = [\"lan\"]; without [ssh] it is off", "has no interface")
	}
	for _, s := range p.texts(at.key("interface"), in.SSH.Interface) {
		if p.listens(s) {
			p.cfg.SSH.Interfaces = append(p.cfg.SSH.Interfaces, s.text)
		}
	}
}

// listens checks an interface to listen on.
func (p *parser) listens(s item) bool {
	i, known := p.byName[s.text]
	switch {
	case !known:
		p.bad(s.at, didYouMean(s.text, p.names()), "there is no interface %q", s.text)
	case p.bridgeOf(s.text) != "":
		p.bad(s.at, fmt.Sprintf("name %q", p.bridgeOf(s.text)), "%s is a member of the bridge %s, which has its addresses", s.text, p.bridgeOf(s.text))
	case !i.Up:
		p.bad(s.at, "leave it out as long as it is down", "%s has up = false", p.where(s.text))
	default:
		return true
	}
	return false
}

// tty checks the name of a serial port: letters, then a number.
func (p *parser) tty(s item) bool {
	letters := strings.TrimRight(s.text, "0123456789")
	serial := strings.HasPrefix(letters, "tty") && len(letters) > len("tty") || letters == "hvc"
	if !serial || !only(letters, isLetter) || letters == s.text || len(s.text) > 15 {
		p.bad(s.at, "", "%s is no serial port: those are called like ttyS0, ttyUSB0, ttyAMA0, hvc0", show(s.text))
		return false
	}
	return true
}
