package dhcp

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"

	"tench/internal/rawudp"
	"tench/supervisor/system"
	"tench/supervisor/unit"
)

// client is the machine with its sockets, timer and file.
type client struct {
	cfg  Config
	sys  system.System
	name string
}

// String implements unit.Unit.
func (c *client) String() string { return c.name }

// run is one call of Run.
type run struct {
	*client
	ctx    context.Context
	events chan<- unit.Event

	m     *machine
	store *store
	link  system.Link

	sock      *socket    // open while the machine listens
	renew     *unicast   // open while it renews
	announced netip.Addr // the address that the neighbours know to be ours
	text      string     // State.Text as last reported
	since     time.Time  // when it became so
	failure   string     // the last error in the log, so as not to repeat it
}

// Run implements unit.Unit. It gives up when the link is gone or changes its
// hardware address, with which it would be another client to the server.
func (c *client) Run(ctx context.Context, events chan<- unit.Event) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tokens, err := c.sys.Notify(ctx, system.Links)
	if err != nil {
		return err
	}
	r := &run{client: c, ctx: ctx, events: events, store: newStore(c.cfg.StateDir, c.cfg.Interface)}
	if r.link, err = c.sys.Link(c.cfg.Link); err != nil {
		return err
	}
	mac, err := net.ParseMAC(r.link.MAC)
	if err != nil || len(mac) != 6 {
		return fmt.Errorf("%s: it has no Ethernet address, but %q", c.cfg.Link, r.link.MAC)
	}
	r.m = newMachine(c.cfg.DHCP4, mac, random())
	defer r.closeSockets()
	r.restore()
	r.perform(r.m.carrier(c.sys.Boottime(), r.link.Carrier))
	return r.loop(tokens)
}

// random seeds a generator from the kernel's: transaction ids should not be
// guessed by others on the link.
func random() *rand.Rand {
	var seed [32]byte
	crand.Read(seed[:]) // never fails (see its documentation)
	return rand.New(rand.NewChaCha8(seed))
}

// loop serves the machine until the context ends.
func (r *run) loop(tokens <-chan struct{}) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if at, ok := r.m.next(); ok {
			timer.Reset(max(at-r.sys.Boottime(), 0))
		} else {
			timer.Stop()
		}
		select {
		case <-r.ctx.Done():
			return nil
		case _, open := <-tokens:
			if !open && r.ctx.Err() == nil {
				return errors.New("netlink: the kernel closed the socket")
			}
			if !open {
				return nil
			}
			if err := r.look(); err != nil {
				return err
			}
		case p, open := <-r.messages():
			if open {
				r.perform(r.m.packet(r.sys.Boottime(), p))
			}
		case <-timer.C:
			r.perform(r.m.timer(r.sys.Boottime()))
		}
	}
}

// messages is nil, which blocks for ever, while there is no socket.
func (r *run) messages() <-chan *dhcpv4.DHCPv4 {
	if r.sock == nil {
		return nil
	}
	return r.sock.messages
}

// look reads the link again.
func (r *run) look() error {
	l, err := r.sys.Link(r.cfg.Link)
	if err != nil {
		return err
	}
	if l.MAC != r.link.MAC {
		r.report(leaseLost, "")
		return fmt.Errorf("%s: its hardware address changed from %s to %s", r.cfg.Link, r.link.MAC, l.MAC)
	}
	if l.Index != r.link.Index { // pulled and put back
		r.perform(r.m.carrier(r.sys.Boottime(), false))
	}
	r.link = l
	r.perform(r.m.carrier(r.sys.Boottime(), l.Carrier))
	return nil
}

// restore takes up what the lease file says.
func (r *run) restore() {
	rec, ok, err := r.store.load()
	if err != nil {
		r.complain(err)
	}
	if !ok || rec.MAC != r.link.MAC {
		return
	}
	now := r.sys.Boottime()
	// The file may be rewriteAfter older than the lease that it is of. What ended
	// before that may be somebody else's by now.
	mayHold := rec.At <= now && now < rec.At+rec.Lease.Duration+rewriteAfter
	if rec.BootID != "" && rec.BootID == r.sys.BootID() && mayHold {
		r.announced = rec.Lease.Address.Addr()
		r.perform(r.m.restore(now, rec.Lease, rec.At))
		return
	}
	r.m.hint = rec.Lease.Address.Addr()
}

// perform does what follows from a step of the machine.
func (r *run) perform(out output) {
	if err := r.listen(); err != nil {
		r.complain(err)
	}
	if out.send != nil {
		if err := r.send(out.send); err != nil {
			r.complain(err)
		}
	}
	switch held := r.m.held; {
	case out.lease == leaseGranted && !held.restored:
		r.complain(r.store.save(record{
			BootID: r.sys.BootID(), MAC: r.link.MAC, At: held.at, Wall: r.sys.Now().UTC().Round(time.Second), Lease: held.grant,
		}))
		r.announce(held.Address.Addr())
	case out.lease == leaseLost:
		r.announced = netip.Addr{}
		r.complain(r.store.forget())
	}
	r.report(out.lease, out.log)
	r.unlisten()
}

// listen opens the packet socket when the machine needs it.
func (r *run) listen() error {
	if !r.m.listening() || r.sock != nil {
		return nil
	}
	sock, err := openSocket(r.link.Index)
	if err == nil {
		r.sock = sock
	}
	return err
}

// unlisten closes the sockets that the machine no longer needs.
func (r *run) unlisten() {
	if r.sock != nil && !r.m.listening() {
		r.sock.Close()
		r.sock = nil
	}
	if r.renew != nil && r.m.state != renewing {
		r.renew.close()
		r.renew = nil
	}
}

func (r *run) closeSockets() {
	r.m.state = waiting
	r.unlisten()
}

// send sends a message the way it says.
func (r *run) send(out *outgoing) error {
	payload := out.message.ToBytes()
	if out.to.IsValid() {
		if r.renew == nil {
			u, err := openUnicast(r.cfg.Link, out.from)
			if err != nil {
				return err
			}
			r.renew = &u
		}
		if err := r.renew.send(out.to, payload); err != nil {
			return fmt.Errorf("send to %v: %w", out.to, err)
		}
		return nil
	}
	if r.sock == nil {
		return nil // listen has complained; the machine will send again
	}
	from := out.from
	if !from.IsValid() {
		from = netip.IPv4Unspecified()
	}
	d := rawudp.Datagram{
		From: netip.AddrPortFrom(from, clientPort), Payload: payload,
		To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), serverPort),
	}
	if err := r.sock.Send(unix.ETH_P_IP, d.Encode()); err != nil {
		return fmt.Errorf("send on %s: %w", r.cfg.Link, err)
	}
	return nil
}

// announce tells the neighbours whose a new address is now.
func (r *run) announce(addr netip.Addr) {
	if r.sock == nil || addr == r.announced {
		return
	}
	r.announced = addr
	if err := r.sock.Send(unix.ETH_P_ARP, announcement(r.m.mac, addr)); err != nil {
		r.complain(fmt.Errorf("announce %v: %w", addr, err))
	}
}

// complain logs an error, unless it is the last one again.
func (r *run) complain(err error) {
	if err == nil || err.Error() == r.failure {
		return
	}
	r.failure = err.Error()
	r.emit(unit.Event{From: r.name, Text: r.failure})
}

// report sends the loop what changed. A log line alone is reported, too. That
// there is no lease is said with each report: the client before this one may have
// had one.
func (r *run) report(change leaseChange, log string) {
	text := r.m.text()
	if text == r.text && change == leaseKept && log == "" {
		return
	}
	if text != r.text {
		r.text, r.since = text, r.sys.Now()
	}
	name, iface := r.name, r.cfg.Interface
	lost := change == leaseLost || r.m.held == nil
	state := unit.State{Since: r.since, Text: text, OK: r.m.held != nil}
	var granted unit.Lease
	if change == leaseGranted {
		granted = r.lease()
	}
	r.emit(unit.Event{From: name, Text: log, Apply: func(f *unit.Facts) {
		f.Units[name] = state
		switch {
		case lost:
			delete(f.Leases, iface)
		case change == leaseGranted:
			f.Leases[iface] = granted
		}
	}})
}

// lease is the lease in force in the words of the Facts. Its times hold a
// monotonic reading: time.Until stays true when the wall clock is set.
func (r *run) lease() unit.Lease {
	h, now := r.m.held, r.sys.Now()
	boot := r.sys.Boottime()
	at := func(t time.Duration) time.Time { return now.Add(t - boot) }
	return unit.Lease{
		Link: r.cfg.Link, Address: h.Address, Server: h.Server, Routes: h.Routes, DNS: h.DNS, NTP: h.NTP,
		Domain: h.Domain, MTU: h.MTU, Since: at(h.at), Renew: at(h.renewAt), Rebind: at(h.rebindAt),
		Expires: at(h.expires), Restored: h.restored, HWAddress: r.link.MAC,
	}
}

// emit sends the loop an event, unless the client was told to end: the loop may
// have another in its place, when the lease file kept this one waiting.
func (r *run) emit(e unit.Event) {
	if r.ctx.Err() != nil {
		return
	}
	select {
	case r.events <- e:
	case <-r.ctx.Done():
	}
}
