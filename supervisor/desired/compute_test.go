package desired

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"tench/config"
	"tench/supervisor/unit"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden is one case of testdata: router.toml, facts and what follows.
type golden struct {
	name    string
	archive *txtar.Archive
	cfg     config.Config
	facts   facts
}

// facts is how the cases write the ports of the board and the unit.Facts.
type facts struct {
	Ports  map[string]config.Selector
	Links  map[string]unit.Link
	Leases map[string]unit.Lease
}

func (f facts) unit() unit.Facts {
	u := unit.Facts{Links: map[string]unit.Link{}, Leases: f.Leases}
	for name, l := range f.Links {
		l.Name = name
		u.Links[name] = l
	}
	return u
}

func goldens(t *testing.T) []golden {
	t.Helper()
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("testdata: %d cases, %v", len(files), err)
	}
	var list []golden
	for _, name := range files {
		g := golden{name: strings.TrimSuffix(filepath.Base(name), ".golden")}
		if g.archive, err = txtar.ParseFile(name); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range g.archive.Files {
			names = append(names, f.Name)
		}
		if diff := cmp.Diff([]string{"router.toml", "facts", "desired"}, names); diff != "" {
			t.Fatalf("%s: files (-want +got):\n%s", name, diff)
		}
		if g.cfg, err = config.Parse(name, g.archive.Files[0].Data); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(g.archive.Files[1].Data, &g.facts); err != nil {
			t.Fatalf("%s: facts: %v", name, err)
		}
		list = append(list, g)
	}
	return list
}

// TestCompute holds each case to its desired state, written anew with -update.
func TestCompute(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(g.name, func(t *testing.T) {
			got := print(Compute(g.cfg, g.facts.Ports, g.facts.unit()))
			want := &g.archive.Files[2].Data
			if *update {
				*want = []byte(got)
				if err := os.WriteFile(filepath.Join("testdata", g.name+".golden"), txtar.Format(g.archive), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(*want), got); diff != "" {
				t.Errorf("Compute (-want +got):\n%s", diff)
			}
		})
	}
}

// TestComputeIsPure computes each case often, from maps filled in other orders:
// the same must come out, and what goes in must stay as it was.
func TestComputeIsPure(t *testing.T) {
	for _, g := range goldens(t) {
		t.Run(g.name, func(t *testing.T) {
			given := g.facts.unit()
			want := Compute(g.cfg, g.facts.Ports, given)
			for n := range 20 {
				again := unit.Facts{Links: refill(given.Links, n), Leases: refill(given.Leases, n)}
				got := Compute(g.cfg, refill(g.facts.Ports, n), again)
				if diff := cmp.Diff(want, got, compareValues); diff != "" {
					t.Fatalf("Compute, time %d (-first +now):\n%s", n+2, diff)
				}
			}
			if diff := cmp.Diff(g.facts.unit(), given, compareValues); diff != "" {
				t.Errorf("Compute changed the facts (-before +after):\n%s", diff)
			}
			cfg, err := config.Parse("testdata/"+g.name+".golden", g.archive.Files[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(cfg, g.cfg, compareValues); diff != "" {
				t.Errorf("Compute changed the config (-before +after):\n%s", diff)
			}
		})
	}
}

var compareValues = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

// refill copies a map, adding its keys from the n-th one on.
func refill[V any](m map[string]V, n int) map[string]V {
	keys := slices.Sorted(maps.Keys(m))
	out := map[string]V{}
	for i := range keys {
		key := keys[(i+n)%len(keys)]
		out[key] = m[key]
	}
	return out
}

func TestComputeOfNothing(t *testing.T) {
	want := Desired{Sysctls: []config.Sysctl{
		{Key: "net.ipv4.ip_forward", Value: "0"}, {Key: "net.ipv6.conf.all.forwarding", Value: "0"},
	}}
	got := Compute(config.Config{}, nil, unit.Facts{})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Compute of nothing (-want +got):\n%s", diff)
	}
}

// print writes a Desired as lines, one for each thing in it.
func print(d Desired) string {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname %s\n", d.Hostname)
	for _, l := range d.Links {
		fmt.Fprintf(&b, "link %+v\n", l)
	}
	for _, a := range d.Addresses {
		fmt.Fprintf(&b, "address %s %s\n", a.Link, a.Prefix)
	}
	for _, r := range d.Routes {
		fmt.Fprintf(&b, "route %+v\n", r)
	}
	for _, s := range d.Sysctls {
		fmt.Fprintf(&b, "sysctl %s = %s\n", s.Key, s.Value)
	}
	for _, s := range []struct {
		what string
		list any
	}{{"dns", d.DNS}, {"search", d.Search}, {"ntp", d.NTP}} {
		fmt.Fprintf(&b, "%s %v\n", s.what, s.list)
	}
	for _, c := range d.DHCP {
		fmt.Fprintf(&b, "dhcp %+v\n", c)
	}
	for _, m := range d.Missing {
		fmt.Fprintf(&b, "missing %s: %s\n", m.Interface, m.Cause)
	}
	return b.String()
}
