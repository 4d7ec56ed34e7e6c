package dhcp

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tench/pxe/event"
)

const (
	// leaseTime is short, so that a cable that goes from box to box does not run
	// out of addresses; boot loaders do not renew, and what they load is loaded
	// by then.
	leaseTime = 30 * time.Minute
	// offerTime is how long an offer is kept. UEFI takes up to 12 s to accept one.
	offerTime = time.Minute
	// spoiltTime is how long an address is left alone that somebody else was
	// found to use.
	spoiltTime = 10 * time.Minute
	// mostAddresses bounds the pool.
	mostAddresses = 4096
)

// neighbour is who has an address, as the kernel heard it.
type neighbour struct {
	mac event.MAC
	// fresh: it answered within the last half minute or so.
	fresh bool
}

// lease is an address and whom it is promised to; spoilt addresses have the zero
// MAC.
type lease struct {
	addr  netip.Addr
	mac   event.MAC
	until time.Time
	bound bool // requested, not only offered
}

// pool is the addresses that we give out. A client gets the one that it had, also
// long after its lease; which one it gets first follows from its MAC, so that it
// is most often the same after we were restarted.
//
// The loop changes it; anybody asks it who has an address.
type pool struct {
	mu     sync.Mutex   // guards the maps and what they point to
	addrs  []netip.Addr // in their order; never changed
	byMAC  map[event.MAC]*lease
	byAddr map[netip.Addr]*lease
}

// newPool makes the pool of a network: its upper half, since what has a fixed
// address has mostly a low one; all of a network with less than 16 addresses.
func newPool(server netip.Prefix) (*pool, error) {
	size := 1 << (32 - server.Bits()) // with the addresses of network and broadcast
	first, last := 1, size-2
	if size >= 16 {
		first = size / 2
	}
	p := &pool{byMAC: map[event.MAC]*lease{}, byAddr: map[netip.Addr]*lease{}}
	base := toUint(server.Masked().Addr())
	for i := first; i <= last && len(p.addrs) < mostAddresses; i++ {
		if a := fromUint(base + uint32(i)); a != server.Addr() {
			p.addrs = append(p.addrs, a)
		}
	}
	if len(p.addrs) == 0 {
		return nil, fmt.Errorf("%v: no room for clients in this network\nhint: give the interface an address in a larger one, e.g. 192.0.2.1/24", server)
	}
	return p, nil
}

func toUint(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func fromUint(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// offer finds an address for mac and keeps it for a while: the one it has or had,
// else the one it wants, else a free one. It fails when all are leased.
func (p *pool) offer(mac event.MAC, want netip.Addr, now time.Time, near map[netip.Addr]neighbour) (netip.Addr, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.byMAC[mac]; l != nil && !usedByOther(l.addr, mac, near) {
		if !l.bound || now.After(l.until) {
			l.bound, l.until = false, now.Add(offerTime)
		}
		return l.addr, true
	}
	if p.has(want) && p.free(want, mac, now) && !usedByOther(want, mac, near) {
		return p.give(mac, want, now), true
	}
	h := fnv.New32a()
	h.Write(mac[:])
	start := int(h.Sum32() % uint32(len(p.addrs)))
	// At first only addresses that nobody had, so that who comes back finds his.
	for _, unused := range []bool{true, false} {
		for i := range p.addrs {
			a := p.addrs[(start+i)%len(p.addrs)]
			_, known := near[a]
			if unused && (p.byAddr[a] != nil || known) {
				continue
			}
			if p.free(a, mac, now) && !usedByOther(a, mac, near) {
				return p.give(mac, a, now), true
			}
		}
	}
	return netip.Addr{}, false
}

// take makes a lease of what mac requests, or says why not. The client may ask
// for an address that we did not offer, if it is free.
func (p *pool) take(mac event.MAC, want netip.Addr, now time.Time, near map[netip.Addr]neighbour) (refusal string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.has(want):
		return fmt.Sprintf("%v is none of the addresses that we give", want)
	case !p.free(want, mac, now):
		return fmt.Sprintf("%v is leased to somebody else", want)
	case usedByOther(want, mac, near):
		p.spoilLocked(want, now)
		return fmt.Sprintf("%v is used by %v", want, near[want].mac)
	}
	if l := p.byMAC[mac]; l == nil || l.addr != want {
		p.give(mac, want, now)
	}
	l := p.byMAC[mac]
	l.bound, l.until = true, now.Add(leaseTime)
	return ""
}

// spoil takes an address out of use for a while, because a client found it used.
func (p *pool) spoil(a netip.Addr, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spoilLocked(a, now)
}

func (p *pool) spoilLocked(a netip.Addr, now time.Time) {
	if l := p.byAddr[a]; l != nil {
		delete(p.byMAC, l.mac)
	}
	if p.has(a) {
		p.byAddr[a] = &lease{addr: a, until: now.Add(spoiltTime)}
	}
}

// release ends the lease of mac; the address stays his until it is needed.
func (p *pool) release(mac event.MAC, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.byMAC[mac]; l != nil {
		l.bound, l.until = false, now
	}
}

// address is what mac has been given; not valid for nothing.
func (p *pool) address(mac event.MAC) netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.byMAC[mac]; l != nil {
		return l.addr
	}
	return netip.Addr{}
}

// owner is who was given a last, also when that lease is over: boot loaders do
// not renew.
func (p *pool) owner(a netip.Addr) (event.MAC, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.byAddr[a]; l != nil && !l.mac.IsZero() {
		return l.mac, true
	}
	return event.MAC{}, false
}

// has reports whether a is one of the pool's.
func (p *pool) has(a netip.Addr) bool {
	_, found := slices.BinarySearchFunc(p.addrs, a, netip.Addr.Compare)
	return found
}

// free reports whether mac may have a, as far as leases go.
func (p *pool) free(a netip.Addr, mac event.MAC, now time.Time) bool {
	l := p.byAddr[a]
	return l == nil || l.mac == mac || now.After(l.until)
}

// give promises a to mac, and to nobody else.
func (p *pool) give(mac event.MAC, a netip.Addr, now time.Time) netip.Addr {
	if old := p.byMAC[mac]; old != nil {
		delete(p.byAddr, old.addr)
	}
	if old := p.byAddr[a]; old != nil {
		delete(p.byMAC, old.mac)
	}
	l := &lease{addr: a, mac: mac, until: now.Add(offerTime)}
	p.byMAC[mac], p.byAddr[a] = l, l
	return a
}

// usedByOther reports whether somebody else has just been heard at a. What the
// kernel heard long ago says nothing: it keeps that until it needs the room.
func usedByOther(a netip.Addr, mac event.MAC, near map[netip.Addr]neighbour) bool {
	n, known := near[a]
	return known && n.fresh && n.mac != mac
}
