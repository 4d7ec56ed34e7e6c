package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"tench/internal/tomlfile"
)

// FuzzParse holds every file that Parse accepts to what the box relies on, and
// every error to a line of the file.
func FuzzParse(f *testing.F) {
	reference, err := os.ReadFile("reference.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	archive, err := txtar.ParseFile("testdata/errors.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range archive.Files {
		if strings.HasSuffix(file.Name, "/router.toml") {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("router.toml", data)
		var problems tomlfile.Problems
		switch {
		case err == nil:
			for _, broken := range invariants(c) {
				t.Errorf("%s in the Config of\n%s", broken, data)
			}
		case !errors.As(err, &problems):
			t.Errorf("Parse: error is a %T, want tomlfile.Problems", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > strings.Count(string(data), "\n")+1 {
				t.Errorf("problem %q is in line %d of %d", p.Text, p.Line, strings.Count(string(data), "\n")+1)
			}
		}
	})
}

// invariants lists what must hold in a Config and does not. It knows nothing of
// how Parse checks it.
func invariants(c Config) (broken []string) {
	must := func(ok bool, format string, args ...any) {
		if !ok {
			broken = append(broken, fmt.Sprintf(format, args...))
		}
	}
	byName := map[string]Interface{}
	for _, i := range c.Interfaces {
		byName[i.Name] = i
	}
	must(c.Hostname != "" && len(c.Hostname) <= 64, "hostname %q", c.Hostname)
	must(len(byName) == len(c.Interfaces), "a name is used twice")
	must(slices.IsSortedFunc(c.Interfaces, func(a, b Interface) int { return strings.Compare(a.Name, b.Name) }), "interfaces are not sorted")
	must(slices.IsSortedFunc(c.Sysctls, compareSysctls), "sysctls are not sorted")
	must(c.NTP.Interval >= time.Minute && c.NTP.Interval <= 24*time.Hour, "NTP interval %s", c.NTP.Interval)
	must(c.Health.For >= 5*time.Second && c.Health.For <= c.Health.Within && c.Health.Within <= 2*time.Hour, "health %+v", c.Health)
	must(len(c.Health.Reach) <= 8, "%d hosts to reach", len(c.Health.Reach))
	for _, t := range c.Health.Reach {
		must(t.Host != "" && t.Port >= 0 && t.Port < 1<<16, "host to reach %+v", t)
	}

	devices, tags, masters := map[Selector]string{}, map[string]string{}, map[string]string{}
	once := func(seen map[string]string, key, name, what string) {
		must(seen[key] == "", "%s %s of %s and %s", what, key, seen[key], name)
		seen[key] = name
	}
	var addresses []address
	for _, i := range c.Interfaces {
		must(len(i.Name) > 0 && len(i.Name) <= 15 && !strings.ContainsAny(i.Name, "/: \t\n\x00"), "name %q", i.Name)
		must(i.MTU == 0 || i.MTU >= 576 && i.MTU <= 9216, "mtu %d", i.MTU)
		must(!i.DHCP4.Enabled || i.DHCP4.Metric > 0, "DHCP metric %d", i.DHCP4.Metric)
		switch i.Kind {
		case Physical:
			must(i.Device != Selector{}, "%s has no device", i.Name)
			must(devices[i.Device] == "", "%s and %s are one device", i.Name, devices[i.Device])
			devices[i.Device] = i.Name
		case VLAN:
			parent, ok := byName[i.Over]
			must(ok && parent.Kind != Loopback && i.VLANID >= 1 && i.VLANID <= 4094, "VLAN %s over %q", i.Name, i.Over)
			must(i.MTU == 0 || parent.MTU == 0 || i.MTU <= parent.MTU, "%s has a larger MTU than %s", i.Name, i.Over)
			must(parent.Up || !i.Up, "%s is up over %s, which is down", i.Name, i.Over)
			once(tags, fmt.Sprintf("%s.%d", i.Over, i.VLANID), i.Name, "tag")
		case Bridge:
			must(len(i.Members) > 0 && slices.IsSorted(i.Members), "bridge %s has members %q", i.Name, i.Members)
			for _, m := range i.Members {
				member, ok := byName[m]
				must(ok && member.Kind != Bridge && member.Kind != Loopback, "member %s of %s", m, i.Name)
				must(len(member.Addresses) == 0 && !member.DHCP4.Enabled && !member.SLAAC, "member %s has addresses", m)
				once(masters, m, i.Name, "bridges of")
			}
		default:
			must(i.Kind == Loopback && i.Name == "lo", "%s is of kind %q", i.Name, i.Kind)
		}
		must(!made(i) || devices[Selector{Name: i.Name}] == "", "%s is called like a device", i.Name)
		must(height(byName, i.Name, 0) <= 8, "%s stands too high, or on itself", i.Name)
		for _, prefix := range i.Addresses {
			a := prefix.Addr()
			must(a.IsValid() && !a.Is4In6() && a.Zone() == "" && !a.IsMulticast() && !a.IsUnspecified() && prefix.Bits() > 0, "address %s", prefix)
			must(a.Is4() || i.MTU == 0 || i.MTU >= 1280, "%s has IPv6 and an MTU of %d", i.Name, i.MTU)
			for _, b := range addresses {
				must(a != b.prefix.Addr(), "%s is given twice", a)
				must(b.owner == i.Name || !b.prefix.Overlaps(prefix) || b.prefix.IsSingleIP() || prefix.IsSingleIP(), "%s overlaps %s", prefix, b.prefix)
			}
			addresses = append(addresses, address{prefix: prefix, owner: i.Name})
		}
	}
	for _, r := range c.Routes {
		broken = append(broken, routeInvariants(byName, r)...)
	}
	for _, s := range c.Sysctls {
		must(!strings.Contains(s.Key, "..") && !strings.Contains(s.Key, "//") && !strings.ContainsAny(s.Value, "\n\x00") && s.Value != "", "sysctl %q = %q", s.Key, s.Value)
	}
	for _, a := range c.DNS.Servers {
		must(a.IsValid() && a.Zone() == "" && !a.IsMulticast(), "DNS server %s", a)
	}
	return broken
}

func routeInvariants(byName map[string]Interface, r Route) (broken []string) {
	must := func(ok bool, what string) {
		if !ok {
			broken = append(broken, fmt.Sprintf("route %+v: %s", r, what))
		}
	}
	must(r.To.IsValid() && r.To == r.To.Masked(), "destination")
	must(r.Table > 0 && r.Table != 255 && r.Metric >= 0, "table or metric")
	must(r.Blackhole != (r.Via != netip.Addr{} || r.Interface != ""), "leads nowhere, or to two places")
	must(!r.Via.IsValid() || r.Via.Is4() == r.To.Addr().Is4(), "families")
	if r.Interface != "" {
		i, ok := byName[r.Interface]
		must(ok && i.Up && i.Kind != Loopback, "interface")
	}
	return broken
}

func made(i Interface) bool { return i.Kind == VLAN || i.Kind == Bridge }

// height counts the devices from name down to its lowest port; more than 8 may
// be a circle, and it stops counting.
func height(byName map[string]Interface, name string, above int) int {
	i := byName[name]
	most := above + 1
	if above > 8 {
		return most
	}
	for _, next := range append([]string{i.Over}, i.Members...) {
		if next != "" {
			most = max(most, height(byName, next, above+1))
		}
	}
	return most
}

func TestInvariantsHoldForReference(t *testing.T) {
	for _, broken := range invariants(mustParse(t, "reference.toml")) {
		t.Error(broken)
	}
}
