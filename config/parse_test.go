package config

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tench/internal/tomlfile"
)

var compareValues = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

func mustParse(t *testing.T, name string) Config {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestReference(t *testing.T) {
	trusted := true
	dhcp := DHCP4{Enabled: true, DefaultRoute: true, Metric: 200, UseDNS: true, UseNTP: true}
	wan := DHCP4{Enabled: true, Hostname: "gw0", ClientID: "line-4711", DefaultRoute: true, Metric: 100, UseDNS: true, UseNTP: true}
	prefixes := func(list ...string) (ps []netip.Prefix) {
		for _, s := range list {
			ps = append(ps, netip.MustParsePrefix(s))
		}
		return ps
	}
	want := Config{
		Hostname:   "gw0",
		Forwarding: true,
		Interfaces: []Interface{
			{Name: "backup", Kind: Physical, Device: Selector{Path: "pci-0000:00:14.0-usb-0:1:1.0"}, Up: true, DHCP4: dhcp, SLAAC: true},
			{Name: "br0", Kind: Bridge, Members: []string{"office", "phones"}, Up: true, Addresses: prefixes("192.168.20.1/24")},
			{Name: "guest", Kind: VLAN, Over: "lan", VLANID: 10, Up: true, Addresses: prefixes("192.168.10.1/24")},
			{Name: "lan", Kind: Physical, Device: Selector{MAC: "52:54:00:12:34:57"}, Up: true, Addresses: prefixes("192.168.1.1/24", "2001:db8:a::1/64")},
			{Name: "lo", Kind: Loopback, Up: true, Addresses: prefixes("10.255.0.1/32")},
			{Name: "office", Kind: Physical, Device: Selector{Name: "eth3"}, Up: true},
			{Name: "phones", Kind: VLAN, Over: "lan", VLANID: 20, Up: true},
			{Name: "wan", Kind: Physical, Device: Selector{Port: "WAN"}, Up: true, MTU: 1500, DHCP4: wan},
		},
		Routes: []Route{
			{To: netip.MustParsePrefix("10.0.0.0/8"), Via: netip.MustParseAddr("192.168.1.254"), Interface: "lan", Metric: 10, Table: 100},
			{To: netip.MustParsePrefix("10.0.0.0/8"), Table: 254, Blackhole: true},
			{To: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Interface: "wan", Table: 254},
		},
		Sysctls: []Sysctl{{"net.core.rmem_max", "262144"}, {"net.ipv4.conf.lan.rp_filter", "1"}},
		DNS: DNS{
			Servers: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8:a::53")},
			Search:  []string{"home.arpa"},
		},
		NTP:     NTP{Servers: []string{"ntp.home.arpa", "192.0.2.123"}, Interval: 30 * time.Minute},
		Console: Console{Ports: []string{"ttyS0"}, Speed: 115200, Trusted: &trusted},
		SSH:     SSH{Interfaces: []string{"lan", "br0"}, Port: 22},
		Health: Health{For: time.Minute, Within: 5 * time.Minute, Units: []string{"clock"}, Maintenance: []string{"lan"}, Optional: []string{"wan"},
			Reach: []Target{{Host: "192.168.1.254"}, {Host: "ntp.home.arpa", Port: 443}}},
	}
	got := mustParse(t, "reference.toml")
	for n, i := range got.Interfaces {
		if i.Line == 0 {
			t.Errorf("interface %s has no line", i.Name)
		}
		got.Interfaces[n].Line = 0
	}
	for n, r := range got.Routes {
		if r.Line == 0 {
			t.Errorf("route to %s has no line", r.To)
		}
		got.Routes[n].Line = 0
	}
	if diff := cmp.Diff(want, got, compareValues); diff != "" {
		t.Errorf("reference.toml (-want +got):\n%s", diff)
	}
}

// TestReferenceHasEveryKey compares the file with the structs that read it.
func TestReferenceHasEveryKey(t *testing.T) {
	data, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	var in raw
	f, err := tomlfile.Decode("reference.toml", data, &in)
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	need := func(found bool, key string) {
		if !found {
			missing = append(missing, key)
		}
	}
	anywhere := func(key string) bool {
		for n := range in.Interface {
			if f.Has("interface", n, key) {
				return true
			}
		}
		return false
	}
	for _, key := range tags(reflect.TypeFor[raw]()) {
		need(f.Has(strings.Split(key, ".")...), key)
	}
	for _, key := range tags(reflect.TypeFor[rawInterface]()) {
		need(anywhere(key), "interface.*."+key)
	}
	for _, key := range dhcp4Keys {
		need(f.Has("interface", "wan", "dhcp4", key), "interface.wan.dhcp4."+key)
	}
	for _, key := range tags(reflect.TypeFor[rawRoute]()) {
		need(f.Has("route", "0", key) || f.Has("route", "1", key), "route."+key)
	}
	if len(missing) > 0 {
		t.Errorf("reference.toml lacks %s", strings.Join(missing, ", "))
	}
	if diff := cmp.Diff(interfaceKeys, tags(reflect.TypeFor[rawInterface]())); diff != "" {
		t.Errorf("interfaceKeys (-have +struct):\n%s", diff)
	}
}

// tags lists the keys of a struct, those of the structs in it with a dot.
func tags(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		field := t.Field(i)
		key := field.Tag.Get("toml")
		keys = append(keys, key)
		if field.Type.Kind() == reflect.Struct {
			for _, sub := range tags(field.Type) {
				keys = append(keys, key+"."+sub)
			}
		}
	}
	return keys
}

func TestEmptyFile(t *testing.T) {
	got, err := Parse("router.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Hostname: "tench", NTP: NTP{Interval: 30 * time.Minute}, Health: Health{For: time.Minute, Within: 5 * time.Minute}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse(nil) (-want +got):\n%s", diff)
	}
}

func TestAccepted(t *testing.T) {
	for name, text := range map[string]string{
		"DHCP beside a static address":           "[interface.wan]\ndevice = 'eth0'\ndhcp4 = true\naddress = ['192.168.100.2/24']\n",
		"DHCP switched off":                      "[interface.wan]\ndevice = 'eth0'\ndhcp4 = false\n",
		"two addresses in one network":           "[interface.lan]\ndevice = 'eth0'\naddress = ['192.168.1.1/24', '192.168.1.2/24']\n",
		"address on lo in a LAN's network":       "[interface.lo]\naddress = ['192.168.1.3/32']\n[interface.lan]\ndevice = 'eth0'\naddress = ['192.168.1.1/24']\n",
		"both ends of a /31":                     "[interface.a]\ndevice = 'eth0'\naddress = ['192.0.2.0/31', '2001:db8::/127']\n[interface.b]\ndevice = 'eth1'\naddress = ['192.0.2.3/31']\n",
		"VLAN over a VLAN":                       "[interface.lan]\ndevice = 'eth0'\n[interface.s]\nover = 'lan'\nvlan = 5\n[interface.c]\nover = 's'\nvlan = 5\n",
		"VLAN over a bridge":                     "[interface.lan]\ndevice = 'eth0'\n[interface.br]\nbridge = ['lan']\n[interface.v]\nover = 'br'\nvlan = 5\n",
		"jumbo frames on both":                   "[interface.lan]\ndevice = 'eth0'\nmtu = 9000\n[interface.v]\nover = 'lan'\nvlan = 5\nmtu = 9000\n",
		"gateway that DHCP may make known":       "[interface.wan]\ndevice = 'eth0'\ndhcp4 = true\n[[route]]\nto = '10.0.0.0/8'\nvia = '192.0.2.1'\n",
		"learned IPv6 gateway":                   "[interface.wan]\ndevice = 'eth0'\nslaac = true\n[[route]]\nto = '2001:db8:f::/48'\nvia = '2001:db8::1'\ninterface = 'wan'\n",
		"route without a gateway":                "[interface.wan]\ndevice = 'eth0'\n[[route]]\nto = '0.0.0.0/0'\ninterface = 'wan'\n",
		"same route with two metrics":            "[interface.a]\ndevice = 'eth0'\naddress = ['192.0.2.1/24']\n[[route]]\nto = 'default'\nvia = '192.0.2.2'\n[[route]]\nto = 'default'\nvia = '192.0.2.3'\nmetric = 5\n",
		"two DHCP clients with metrics":          "[interface.a]\ndevice = 'eth0'\ndhcp4 = true\n[interface.b]\ndevice = 'eth1'\ndhcp4 = { metric = 5 }\n",
		"switched off with what stands on it":    "[interface.a]\ndevice = 'eth0'\nup = false\n[interface.b]\nover = 'a'\nvlan = 5\nup = false\n",
		"names that only look like placeholders": "hostname = 'gw0-replacement'\n[ntp]\nserver = ['exchange-melbourne.home.arpa']\n",
		"sysctl of an interface with a dot":      "[interface.'lan.5']\ndevice = 'eth0'\n[sysctl]\n'net.ipv4.conf.lan/5.rp_filter' = true\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("router.toml", []byte(text)); err != nil {
				t.Errorf("Parse =\n%v\nwant no error for\n%s", err, text)
			}
		})
	}
}

// TestManyInterfaces counts what a file of 500 VLANs costs beside one of 50: a box
// with a slow CPU reads it in the loop, which must not be silent for ten seconds.
func TestManyInterfaces(t *testing.T) {
	cost := func(vlans int) float64 {
		var b strings.Builder
		b.WriteString("hostname = \"gw0\"\n[interface.lan]\ndevice = \"eth0\"\n")
		for n := range vlans {
			fmt.Fprintf(&b, "[interface.guest%d]\nover = \"lan\"\nvlan = %d\naddress = [\"10.%d.%d.1/24\"]\n", n, n+2, n/200, n%200)
		}
		return testing.AllocsPerRun(1, func() {
			if _, err := Parse("router.toml", []byte(b.String())); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := cost(50), cost(500); many > 20*few {
		t.Errorf("500 VLANs take %.0f allocations and 50 take %.0f; want ten times as many", many, few)
	}
}
