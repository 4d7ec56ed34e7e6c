package config

import (
	"os"
	"reflect"
	"strings"
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
[ssh]
interface = ["lan"]
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
[ssh]
interface = ["wan"]
port = 2222
[health]
for = "2m"
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
			"ssh on interface lan goes",
			"ssh on interface wan comes",
			"ssh port 22 -> 2222",
			"console changes", "dns changes", "health changes", "ntp changes",
		}},
		{name: "the door is shut", old: before, changed: strings.Split(before, "[ssh]")[0], want: []string{"ssh on interface lan goes"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Changes(parsed(t, tc.old), parsed(t, tc.changed))); diff != "" {
				t.Errorf("Changes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChangesOfEverySection fails for a section that Changes was not taught: of
// each, one configuration has none, and the other all that reference.toml shows.
func TestChangesOfEverySection(t *testing.T) {
	text, err := os.ReadFile("reference.toml")
	if err != nil {
		t.Fatal(err)
	}
	reference := reflect.ValueOf(parsed(t, string(text)))
	for i := range reference.NumField() {
		name := reference.Type().Field(i).Name
		if reference.Field(i).IsZero() {
			t.Errorf("%s: reference.toml shows none", name)
		}
		var c Config
		reflect.ValueOf(&c).Elem().Field(i).Set(reference.Field(i))
		if len(Changes(Config{}, c)) == 0 || len(Changes(c, Config{})) == 0 {
			t.Errorf("%s: Changes says nothing when it comes or goes", name)
		}
	}
}
