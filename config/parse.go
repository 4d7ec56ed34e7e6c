package config

import (
	"errors"
	"maps"
	"net/netip"
	"slices"

	"tench/internal/tomlfile"
)

// raw is router.toml as written. The leaves are of any type, so that a value of
// the wrong type is one problem among the others, and not the end of reading.
type raw struct {
	Hostname   any                     `toml:"hostname"`
	Forwarding any                     `toml:"forwarding"`
	Interface  map[string]rawInterface `toml:"interface"`
	Route      []rawRoute              `toml:"route"`
	Sysctl     map[string]any          `toml:"sysctl"`
	DNS        struct {
		Server any `toml:"server"`
		Search any `toml:"search"`
	} `toml:"dns"`
	NTP struct {
		Server   any `toml:"server"`
		Interval any `toml:"interval"`
	} `toml:"ntp"`
	Console struct {
		Port    any `toml:"port"`
		Speed   any `toml:"speed"`
		Trusted any `toml:"trusted"`
	} `toml:"console"`
	SSH struct {
		Interface any `toml:"interface"`
		Port      any `toml:"port"`
	} `toml:"ssh"`
	Health struct {
		For         any `toml:"for"`
		Within      any `toml:"within"`
		Reach       any `toml:"reach"`
		Unit        any `toml:"unit"`
		Maintenance any `toml:"maintenance"`
		Optional    any `toml:"optional"`
	} `toml:"health"`
}

type rawInterface struct {
	Device  any `toml:"device"`
	Over    any `toml:"over"`
	VLAN    any `toml:"vlan"`
	Bridge  any `toml:"bridge"`
	STP     any `toml:"stp"`
	Up      any `toml:"up"`
	MTU     any `toml:"mtu"`
	Address any `toml:"address"`
	DHCP4   any `toml:"dhcp4"` // true, false or a table with dhcp4Keys
	SLAAC   any `toml:"slaac"`
}

type rawRoute struct {
	To        any `toml:"to"`
	Via       any `toml:"via"`
	Interface any `toml:"interface"`
	Metric    any `toml:"metric"`
	Table     any `toml:"table"`
	Blackhole any `toml:"blackhole"`
}

// Parse reads and checks a router.toml; name is the file's name in errors. The
// error is a tomlfile.Problems with every mistake that can be seen at once.
// What Parse returns without an error can be applied: what is left to go wrong
// is for hardware and servers to decide.
func Parse(name string, data []byte) (Config, error) {
	var in raw
	f, err := tomlfile.Decode(name, data, &in)
	if f == nil {
		return Config{}, err
	}
	p := &parser{reader: reader{file: f}}
	errors.As(err, &p.problems) // unknown keys, reported with what follows
	p.parse(in)
	p.check()
	if err := p.problems.OrNil(); err != nil {
		return Config{}, err
	}
	return p.cfg, nil
}

// parser fills the Config, first key by key and then comparing its parts.
type parser struct {
	reader
	cfg       Config
	byName    map[string]Interface
	addresses []address // of all interfaces, in file order
}

// address is a static address together with where it was written.
type address struct {
	prefix netip.Prefix
	owner  string // interface
	at     place
}

func (p *parser) parse(in raw) {
	p.cfg.Hostname = p.hostname(top("hostname"), in.Hostname)
	if in.Hostname == nil {
		p.cfg.Hostname = "tench"
	}
	p.cfg.Forwarding = p.flag(top("forwarding"), in.Forwarding, false)
	p.byName = map[string]Interface{}
	for _, name := range slices.Sorted(maps.Keys(in.Interface)) {
		i := p.parseInterface(name, in.Interface[name])
		p.cfg.Interfaces = append(p.cfg.Interfaces, i)
		p.byName[name] = i
	}
	slices.SortStableFunc(p.addresses, func(a, b address) int { return p.line(a.at) - p.line(b.at) })
	for n, r := range in.Route {
		p.cfg.Routes = append(p.cfg.Routes, p.parseRoute(top("route").item(n), r))
	}
	p.parseSysctls(top("sysctl"), "", in.Sysctl)
	slices.SortFunc(p.cfg.Sysctls, compareSysctls)
	p.parseDNS(in)
	p.parseNTP(in)
	p.parseConsole(in)
	p.parseSSH(in)
	p.parseHealth(in)
}
