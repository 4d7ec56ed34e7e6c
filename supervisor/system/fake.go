package system

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Fake is a kernel in memory for tests. It starts empty; fill the exported
// fields, run the code under test, and look at the fields and at Calls.
//
// It behaves as the real one in what the network side relies on: a link that
// goes down loses its IPv6 addresses and its routes, a VLAN goes with its
// parent, a member leaves a bridge that goes. What must be exact is tested
// against the real kernel in labs.
type Fake struct {
	Net    Dump
	Sysctl map[string]string // by SysctlPath
	Name   string            // host name
	Resolv []byte
	Time   time.Time     // wall clock
	Since  time.Duration // since boot
	Boot   string        // boot id
	Slewed time.Duration // what SlewClock was last given

	Calls []string         // every change, e.g. "up eth0 true", in order
	Fail  map[string]error // the error that the call of this text returns

	mu       sync.Mutex
	watchers []chan struct{}
}

var _ System = (*Fake)(nil)

// call records a change and returns the error scripted for it.
func (f *Fake) call(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	f.Calls = append(f.Calls, text)
	return f.Fail[text]
}

// TakeCalls returns the calls so far and forgets them.
func (f *Fake) TakeCalls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.Calls
	f.Calls = nil
	return calls
}

// Change runs fn, which may change any field, and then wakes the watchers: the
// kernel changed by itself, or somebody else changed it.
func (f *Fake) Change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
	for _, w := range f.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Dump implements Network.
func (f *Fake) Dump() (Dump, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Dump{slices.Clone(f.Net.Links), slices.Clone(f.Net.Addresses), slices.Clone(f.Net.Routes)}, f.Fail["dump"]
}

// Link implements Network.
func (f *Fake) Link(name string) (Link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.link(name); i >= 0 {
		return f.Net.Links[i], nil
	}
	return Link{}, fmt.Errorf("%s: find link: %w", name, ErrNoLink)
}

// Notify implements Network.
func (f *Fake) Notify(ctx context.Context, _ Topic) (<-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := make(chan struct{}, 1)
	f.watchers = append(f.watchers, w)
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watchers = slices.DeleteFunc(f.watchers, func(c chan struct{}) bool { return c == w })
		close(w)
	})
	return w, nil
}

func (f *Fake) link(name string) int {
	return slices.IndexFunc(f.Net.Links, func(l Link) bool { return l.Name == name })
}

// change records a change to a link and makes it.
func (f *Fake) change(name string, set func(*Link), format string, args ...any) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call(format, args...); err != nil {
		return err
	}
	i := f.link(name)
	if i < 0 {
		return fmt.Errorf("%s: find link: %w", name, ErrNoLink)
	}
	set(&f.Net.Links[i])
	return nil
}

// AddLink implements Network.
func (f *Fake) AddLink(n NewLink) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("make %s %s %s %d", n.Kind, n.Name, n.Parent, n.VLANID); err != nil {
		return err
	}
	index := 1
	for _, l := range f.Net.Links {
		index = max(index, l.Index+1)
	}
	f.Net.Links = append(f.Net.Links, Link{
		Name: n.Name, Kind: n.Kind, Parent: n.Parent, VLANID: n.VLANID, Index: index, MTU: 1500, Ours: true,
	})
	return nil
}

// DeleteLink implements Network.
func (f *Fake) DeleteLink(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.call("delete %s", name)
	if err == nil {
		f.drop(name)
	}
	return err
}

// drop removes a link, the VLANs over it and all that was on them.
func (f *Fake) drop(name string) {
	f.Net.Links = slices.DeleteFunc(f.Net.Links, func(l Link) bool { return l.Name == name })
	f.Net.Addresses = slices.DeleteFunc(f.Net.Addresses, func(a Address) bool { return a.Link == name })
	f.Net.Routes = slices.DeleteFunc(f.Net.Routes, func(r Route) bool { return r.Link == name })
	for _, l := range slices.Clone(f.Net.Links) {
		if l.Parent == name {
			f.drop(l.Name)
		}
		if i := f.link(l.Name); l.Master == name && i >= 0 {
			f.Net.Links[i].Master = ""
		}
	}
}

// SetUp implements Network.
func (f *Fake) SetUp(name string, up bool) error {
	return f.change(name, func(l *Link) {
		l.Up = up
		if up {
			return
		}
		f.Net.Addresses = slices.DeleteFunc(f.Net.Addresses, func(a Address) bool {
			return a.Link == name && a.Prefix.Addr().Is6()
		})
		f.Net.Routes = slices.DeleteFunc(f.Net.Routes, func(r Route) bool { return r.Link == name })
	}, "up %s %t", name, up)
}

// SetMTU implements Network.
func (f *Fake) SetMTU(name string, mtu int) error {
	return f.change(name, func(l *Link) { l.MTU = mtu }, "mtu %s %d", name, mtu)
}

// SetMaster implements Network.
func (f *Fake) SetMaster(name, bridge string) error {
	return f.change(name, func(l *Link) { l.Master = bridge }, "master %s %q", name, bridge)
}

// SetSTP implements Network.
func (f *Fake) SetSTP(bridge string, on bool) error {
	return f.change(bridge, func(l *Link) { l.STP = on }, "stp %s %t", bridge, on)
}

// MarkOurs implements Network.
func (f *Fake) MarkOurs(name string) error {
	return f.change(name, func(l *Link) { l.Ours = true }, "mark %s", name)
}

// AddAddress implements Network.
func (f *Fake) AddAddress(link string, prefix netip.Prefix) error {
	return f.change(link, func(*Link) {
		f.Net.Addresses = append(f.Net.Addresses, Address{Link: link, Prefix: prefix})
	}, "add address %s %s", link, prefix)
}

// DeleteAddress implements Network.
func (f *Fake) DeleteAddress(a Address) error {
	return f.change(a.Link, func(*Link) {
		f.Net.Addresses = slices.DeleteFunc(f.Net.Addresses, func(b Address) bool {
			return b.Link == a.Link && b.Prefix == a.Prefix
		})
	}, "delete address %s %s", a.Link, a.Prefix)
}

// AddRoute implements Network. It fills in what the kernel would.
func (f *Fake) AddRoute(r Route, how AddMode) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.call("add route %s via %s dev %s metric %d", r.To, r.Via, r.Link, r.Metric); err != nil {
		return err
	}
	if r.To.Addr().Is6() && r.Metric == 0 {
		r.Metric = 1024
	}
	r.Protocol = ProtocolTench
	for _, a := range f.Net.Addresses {
		if r.Link == "" && a.Prefix.Contains(r.Via) {
			r.Link = a.Link
		}
	}
	same := func(o Route) bool { return o.To == r.To && o.Metric == r.Metric && o.Table == r.Table }
	if i := slices.IndexFunc(f.Net.Routes, same); how == Replace && i >= 0 {
		f.Net.Routes[i] = r
		return nil
	}
	f.Net.Routes = append(f.Net.Routes, r)
	return nil
}

// DeleteRoute implements Network.
func (f *Fake) DeleteRoute(r Route) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.call("delete route %s via %s dev %s metric %d", r.To, r.Via, r.Link, r.Metric)
	if err == nil {
		f.Net.Routes = slices.DeleteFunc(f.Net.Routes, func(o Route) bool { return o == r })
	}
	return err
}

// ReadSysctl implements Sysctls.
func (f *Fake) ReadSysctl(key string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, err := SysctlPath(key)
	if err != nil {
		return "", err
	}
	value, ok := f.Sysctl[path]
	if !ok {
		return "", fmt.Errorf("sysctl %s: read: %w", key, fs.ErrNotExist)
	}
	return value, nil
}

// WriteSysctl implements Sysctls.
func (f *Fake) WriteSysctl(key, value string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	path, err := SysctlPath(key)
	if err != nil {
		return err
	}
	if err := f.call("sysctl %s %s", path, value); err != nil {
		return err
	}
	if f.Sysctl == nil {
		f.Sysctl = map[string]string{}
	}
	f.Sysctl[path] = value
	return nil
}

// Hostname implements Host.
func (f *Fake) Hostname() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Name, nil
}

// SetHostname implements Host.
func (f *Fake) SetHostname(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.call("hostname %s", name)
	if err == nil {
		f.Name = name
	}
	return err
}

// ReadResolvConf implements Host.
func (f *Fake) ReadResolvConf() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Resolv, nil
}

// WriteResolvConf implements Host.
func (f *Fake) WriteResolvConf(data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.call("resolv.conf %q", data)
	if err == nil {
		f.Resolv = data
	}
	return err
}

// Now implements Clock.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Time
}

// Boottime implements Clock.
func (f *Fake) Boottime() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Since
}

// BootID implements Clock.
func (f *Fake) BootID() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Boot
}

// StepClock implements Clock.
func (f *Fake) StepClock(to time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.call("step clock %s", to.UTC().Format(time.RFC3339))
	if err == nil {
		f.Time = to
	}
	return err
}

// SlewClock implements Clock.
func (f *Fake) SlewClock(offset time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.call("slew clock %s", offset)
	if err == nil {
		f.Slewed = offset
	}
	return err
}
