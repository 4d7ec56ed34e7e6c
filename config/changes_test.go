package config

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const before = `hostname = "gw0"
[interface.wan]
device = "eth0"
dhcp4 = true
[interface.lan]
device = "port:LAN"
address = ["192.168.1.1/24"]
[interface.guest]
over = "lan"
vlan = 10
[[route]]
to = "10.0.0.0/8"
via = "192.168.1.254"
`

const after = `hostname = "gw1"
forwarding = true
# a comment changes nothing
[interface.wan]
device = "eth0"
dhcp4 = { metric = 50 }
slaac = true
[interface.lan]
device = "52:54:00:12:34:57"
mtu = 1400
up = false
address = ["192.168.2.1/24"]
[interface.lo]
address = ["10.255.0.1/32"]
[[route]]
to = "10.0.0.0/8"
blackhole = true
table = 100
[sysctl]
"net.core.rmem_max" = 262144
[dns]
server = ["192.0.2.53"]
[ntp]
server = ["192.0.2.123"]
[console]
trusted = false
`

func parsed(t *testing.T, text string) Config {
	t.Helper()
	c, err := Parse("router.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChanges(t *testing.T) {
	reference, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, old, changed string
		want               []string
	}{
		{name: "nothing", old: string(reference), changed: string(reference)},
		{name: "comments and empty lines", old: before, changed: "# hello\n\n" + before},
		{name: "all sorts", old: before, changed: after, want: []string{
			"hostname gw0 -> gw1",
			"forwarding off -> on",
			"interface guest goes",
			"interface lan: device port:LAN -> 52:54:00:12:34:57",
			"interface lan: port on -> off",
			"interface lan: mtu of the driver -> 1400",
			"interface lan: address 192.168.1.1/24 goes",
			"interface lan: address 192.168.2.1/24 comes",
			"interface lo comes",
			"interface wan: dhcp4 asks otherwise",
			"interface wan: slaac off -> on",
			"route 10.0.0.0/8 via 192.168.1.254 goes",
			"route 10.0.0.0/8 table 100 blackhole comes",
			"sysctl net.core.rmem_max = 262144 comes",
			"console changes", "dns changes", "ntp changes",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Changes(parsed(t, tc.old), parsed(t, tc.changed))); diff != "" {
				t.Errorf("Changes (-want +got):\n%s", diff)
			}
		})
	}
}
