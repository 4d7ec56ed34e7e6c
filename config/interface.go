package config

import (
	"maps"
	"slices"
	"strings"

	"tench/internal/tomlfile"
)

// kindKeys are the keys that each kind of interface takes. Those that make an
// interface what it is come first.
var kindKeys = map[Kind][]string{
	Physical: {"device", "up", "mtu", "address", "dhcp4", "slaac"},
	VLAN:     {"over", "vlan", "up", "mtu", "address", "dhcp4", "slaac"},
	Bridge:   {"bridge", "stp", "up", "mtu", "address", "dhcp4", "slaac"},
	Loopback: {"address"},
}

// interfaceKeys are the keys of all kinds.
var interfaceKeys = []string{"device", "over", "vlan", "bridge", "stp", "up", "mtu", "address", "dhcp4", "slaac"}

// dhcp4Keys are the keys of a dhcp4 that is a table.
var dhcp4Keys = []string{"hostname", "client-id", "default-route", "metric", "dns", "ntp"}

// defaultMetric leaves room below for routes that should win over DHCP's.
const defaultMetric = 100

func (p *parser) parseInterface(name string, in rawInterface) Interface {
	at := interfaceAt(name)
	p.interfaceName(at, name)
	i := Interface{Name: name, Line: p.line(at), Kind: p.kind(at, name)}
	for _, key := range interfaceKeys {
		if p.has(at.key(key)) && i.Kind != "" && !slices.Contains(kindKeys[i.Kind], key) {
			p.bad(at.key(key), "this one takes "+strings.Join(kindKeys[i.Kind], ", "), "is not for a %s interface", i.Kind)
		}
	}
	switch i.Kind {
	case Physical:
		i.Device = p.selector(at.key("device"), in.Device)
	case VLAN:
		i.Over, i.VLANID = p.parseVLAN(at, in)
	case Bridge:
		i.Members = p.parseMembers(at.key("bridge"), in.Bridge)
		i.STP = p.flag(at.key("stp"), in.STP, false)
	}
	i.Up = p.flag(at.key("up"), in.Up, true)
	i.MTU = p.number(at.key("mtu"), in.MTU, span{576, 9216, 0})
	i.Addresses = p.parseAddresses(at.key("address"), i, in.Address)
	i.DHCP4 = p.parseDHCP4(at.key("dhcp4"), in.DHCP4)
	i.SLAAC = p.flag(at.key("slaac"), in.SLAAC, false)
	return i
}

// kind tells from its keys what an interface is; "" when nothing says so.
func (p *parser) kind(at place, name string) Kind {
	switch {
	case name == "lo":
		return Loopback
	case p.has(at.key("bridge")):
		return Bridge
	case p.has(at.key("over")), p.has(at.key("vlan")):
		return VLAN
	case p.has(at.key("device")):
		return Physical
	}
	p.bad(at, "give device for a port, over and vlan for a VLAN, or bridge for a bridge", "nothing says what it is made of")
	return ""
}

func (r *reader) has(at place) bool { return r.file.Has(at.path...) }

func (p *parser) parseVLAN(at place, in rawInterface) (over string, id int) {
	over = p.text(at.key("over"), in.Over)
	id = p.number(at.key("vlan"), in.VLAN, span{1, 4094, 0}) // 0 and 4095 are reserved, IEEE 802.1Q table 9-2
	if in.Over == nil {
		p.bad(at, "name the interface that carries the VLAN, e.g. over = \"lan\"", "has vlan but not over")
	}
	if in.VLAN == nil {
		p.bad(at, "give the tag, 1 to 4094, e.g. vlan = 10", "has over but not vlan")
	}
	return over, id
}

func (p *parser) parseMembers(at place, v any) []string {
	var members []string
	for _, m := range p.texts(at, v) {
		members = append(members, m.text)
	}
	slices.Sort(members)
	return members
}

func (p *parser) parseDHCP4(at place, v any) DHCP4 {
	table, isTable := v.(map[string]any)
	if !isTable {
		if _, ok := v.(bool); v != nil && !ok {
			p.bad(at, "", "%s is neither true, false nor a table", show(v))
		}
		if v != true {
			return DHCP4{}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if !slices.Contains(dhcp4Keys, key) {
			p.problems = append(p.problems, tomlfile.Problem{
				File: p.file.Name, Line: p.line(at.key(key)),
				Text: "unknown key " + show(at.text+"."+key), Hint: didYouMean(key, dhcp4Keys),
			})
		}
	}
	return DHCP4{
		Enabled:      true,
		Hostname:     p.hostname(at.key("hostname"), table["hostname"]),
		ClientID:     p.clientID(at.key("client-id"), table["client-id"]),
		DefaultRoute: p.flag(at.key("default-route"), table["default-route"], true),
		Metric:       p.number(at.key("metric"), table["metric"], span{1, most, defaultMetric}),
		UseDNS:       p.flag(at.key("dns"), table["dns"], true),
		UseNTP:       p.flag(at.key("ntp"), table["ntp"], true),
	}
}

// clientID checks option 61 (RFC 2132, section 9.14): at most 255 octets with
// the one for its type.
func (p *parser) clientID(at place, v any) string {
	s := p.text(at, v)
	if len(s) > 254 || !printable(s) {
		p.bad(at, "", "%s is not 1 to 254 printable ASCII characters", show(s))
		return ""
	}
	return s
}
