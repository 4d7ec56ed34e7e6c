package status

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// box is a tree in which wan works, and lan and all that hangs on it does not.
func box() Node {
	return Node{Name: "gw0", State: "degraded", Cause: "1 of 3 interfaces is up",
		Detail: []string{"generation 3", "slot a"},
		Children: []Node{
			{Name: "wan", State: "up", OK: true, Detail: []string{"eth0", "10.0.2.15/24"}, Children: []Node{
				{Name: "dhcp wan", State: "bound", OK: true, Detail: []string{"until 14:02"}},
			}},
			{Name: "lan", State: "down", Cause: "no carrier on eth1"},
			{Name: "guest", State: "missing", Cause: "lan is down", Needs: []string{"lan"}},
			{Name: "route 10.0.0.0/8", State: "missing", Cause: "guest is missing", Needs: []string{"guest", "wan"}},
		}}
}

func TestWhy(t *testing.T) {
	loop := Node{Name: "x", OK: true, Children: []Node{
		{Name: "a", State: "down", Needs: []string{"b"}},
		{Name: "b", State: "down", Cause: "a is down\x1b[2J", Needs: []string{"a", "nowhere"}},
	}}
	twice := Node{Name: "gw1", State: "degraded", Children: []Node{
		{Name: "config", State: "generation 1", OK: true}, {Name: "config", State: "down", Cause: "no carrier on eth1"}}}
	for _, tc := range []struct {
		name, ask string
		root      Node
		want      []string
	}{
		{"a cause of its own", "lan", box(), []string{"lan down: no carrier on eth1"}},
		{"a chain of three", "route 10.0.0.0/8", box(), []string{
			"route 10.0.0.0/8 missing: guest is missing", "guest missing: lan is down", "lan down: no carrier on eth1"}},
		{"nothing is wrong", "wan", box(), []string{"wan up: nothing is wrong with it"}},
		{"the whole box, each thing once", "gw0", box(), []string{
			"gw0 degraded: 1 of 3 interfaces is up", "lan down: no carrier on eth1",
			"guest missing: lan is down", "route 10.0.0.0/8 missing: guest is missing"}},
		{"an interface that is called like a part of the box", "config", twice, []string{"config down: no carrier on eth1"}},
		{"both of one name", "gw1", twice, []string{"gw1 degraded", "config down: no carrier on eth1"}},
		{"nodes that need each other, and no escape sequence", "a", loop, []string{
			"a down", "b down: a is down?[2J"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Why(tc.root, tc.ask)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Why(%q) (-want +got):\n%s", tc.ask, diff)
			}
		})
	}
}

func TestWhyUnknownName(t *testing.T) {
	for ask, want := range map[string]string{
		"lam":  "why \"lam\": there is nothing of this name\nhint: did you mean \"lan\"? names: gw0, wan, dhcp wan, lan, guest, route 10.0.0.0/8",
		"zzzz": "why \"zzzz\": there is nothing of this name\nhint: names: gw0, wan, dhcp wan, lan, guest, route 10.0.0.0/8",
	} {
		_, err := Why(box(), ask)
		if err == nil {
			t.Fatalf("Why(%q) found something", ask)
		}
		if diff := cmp.Diff(want, err.Error()); diff != "" {
			t.Errorf("Why(%q) (-want +got):\n%s", ask, diff)
		}
	}
}

func TestPrint(t *testing.T) {
	root := box()
	root.Children[0].Detail = append(root.Children[0].Detail, "2001:db8:1:2:3:4:5:6/64", "fe80::5054:ff:fe12:3456/64", "mtu 1500")
	root.Children[1].Cause = "no carrier on eth1\r\n\x1b[31mred"
	root.Children[1].Detail = []string{"host key SHA256:" + strings.Repeat("x", 43), "more"}
	want := "" +
		"! gw0                    degraded   1 of 3 interfaces is up, generation 3, slot\n" +
		"                                    a\n" +
		"    wan                  up         eth0, 10.0.2.15/24,\n" +
		"                                    2001:db8:1:2:3:4:5:6/64,\n" +
		"                                    fe80::5054:ff:fe12:3456/64, mtu 1500\n" +
		"      dhcp wan           bound      until 14:02\n" +
		"!   lan                  down       no carrier on eth1???[31mred, host key\n" +
		"                            SHA256:" + strings.Repeat("x", 43) + ",\n" +
		"                                    more\n" +
		"!   guest                missing    lan is down\n" +
		"!   route 10.0.0.0/8     missing    guest is missing\n"
	var b bytes.Buffer
	if err := Print(&b, root); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("Print (-want +got):\n%s", diff)
	}
	for line := range strings.Lines(b.String()) {
		if len(line)-1 > width {
			t.Errorf("line of %d columns: %q", len(line)-1, line)
		}
	}
}

// Others read the JSON; a renamed field breaks them.
func TestNodeJSON(t *testing.T) {
	got, err := json.Marshal(Node{Name: "guest", State: "missing", Cause: "lan is down", Needs: []string{"lan"},
		Detail: []string{"vlan 10"}, Children: []Node{{Name: "x", State: "up", OK: true}}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"guest","state":"missing","ok":false,"cause":"lan is down","needs":["lan"],` +
		`"detail":["vlan 10"],"children":[{"name":"x","state":"up","ok":true}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("json (-want +got):\n%s", diff)
	}
}
