package dhcp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/config"
)

// state is where the client stands (RFC 2131, figure 5). INIT is never rested
// in: with a carrier the client asks at once.
type state string

const (
	waiting    state = "waiting"    // no carrier; a lease in force stays in force
	selecting  state = "selecting"  // sent DISCOVER
	requesting state = "requesting" // sent REQUEST for an offer
	rebooting  state = "rebooting"  // sent REQUEST for the address we had
	bound      state = "bound"
	renewing   state = "renewing"  // past T1: asking our server
	rebinding  state = "rebinding" // past T2: asking any server
)

const (
	firstPause = 500 * time.Millisecond // before the first retransmission
	longPause  = 32 * time.Second       // between retransmissions, at most
	// leastRenewPause is between two REQUESTs for a lease that is in force
	// (RFC 2131, 4.4.5).
	leastRenewPause = time.Minute
	// requestTries and rebootTries bound how long one server, or the last
	// address, is insisted on: 0.5 + 1 + 2 (+ 4) seconds.
	requestTries = 4
	rebootTries  = 3
	// restoredGrace is how long a lease found on flash stays in force at least,
	// so that it can be confirmed: its end on flash may be an hour too early
	// (see record.go).
	restoredGrace = time.Minute
)

// lease is a grant in force. Times are since boot.
type lease struct {
	grant
	at       time.Duration // the REQUEST went out: all of the lease counts from here
	renewAt  time.Duration // T1
	rebindAt time.Duration // T2
	expires  time.Duration
	restored bool // from flash, not yet confirmed
}

// machine is the client without clock and sockets.
//
//	          carrier                 OFFER
//	waiting ───────────▶ selecting ──────────▶ requesting
//	   │                 ▲  ▲  ▲ ▲                 │ ACK
//	   │ carrier, had an │  │  │ └─ NAK, silence ──┤
//	   │ address         │  │  │                   ▼
//	   └──────▶ rebooting┘  │  └──── NAK ─────── bound ◀──────┐
//	              │ ACK     │                      │ T1       │ ACK
//	              │         │ lease                ▼          │
//	              └▶ bound  │ ends, NAK         renewing ─────┤
//	                        │                      │ T2       │
//	                        └─────────────────  rebinding ────┘
//
// Losing the carrier leads to waiting from everywhere; the lease in force stays
// until it ends.
type machine struct {
	cfg  config.DHCP4
	mac  net.HardwareAddr
	rand *rand.Rand

	state   state
	held    *lease     // in force, whatever the state
	hint    netip.Addr // the last address we had; zero for none
	offer   grant      // requesting: what was offered
	xid     dhcpv4.TransactionID
	started time.Duration // of this exchange, for the secs field
	sent    time.Duration // last transmission
	wake    time.Duration // next transmission or change of state; 0 for none
	tries   int           // transmissions of the present message
	naks    int           // since the last lease
	bad     string        // the last complaint about an offer, so as not to repeat it
}

// newMachine starts without carrier.
func newMachine(cfg config.DHCP4, mac net.HardwareAddr, random *rand.Rand) *machine {
	return &machine{cfg: cfg, mac: mac, rand: random, state: waiting}
}

// leaseChange says what became of the lease in a step.
type leaseChange int

const (
	leaseKept leaseChange = iota
	leaseGranted
	leaseLost
)

// output is what follows from a step.
type output struct {
	send  *outgoing // nil for nothing
	lease leaseChange
	log   string // one line, or empty
}

// restore puts a lease from flash in force until a server confirms it. It is
// from this boot, so that its times are true.
func (m *machine) restore(now time.Duration, g grant, at time.Duration) output {
	if at+g.Duration < now+restoredGrace {
		at = now + restoredGrace - g.Duration
	}
	m.hold(g, at)
	m.held.restored = true
	return output{lease: leaseGranted, log: fmt.Sprintf("found the lease of %v, asking whether it is still good", g.Address)}
}

// carrier tells the machine whether the link has a partner. A new partner may
// be another network, so that a lease in force is confirmed at once.
func (m *machine) carrier(now time.Duration, up bool) output {
	switch {
	case !up && m.state != waiting:
		m.state, m.wake = waiting, 0
		return output{log: "no carrier"}
	case up && m.state == waiting && m.hint.IsValid():
		return m.enter(now, rebooting)
	case up && m.state == waiting:
		return m.enter(now, selecting)
	}
	return output{}
}

// next is when timer must be called; ok is false for never.
func (m *machine) next() (at time.Duration, ok bool) {
	at = m.wake
	if m.held != nil && (at == 0 || m.held.expires < at) {
		at = m.held.expires
	}
	return at, at != 0
}

// timer is called at next, or later.
func (m *machine) timer(now time.Duration) output {
	if m.held != nil && now >= m.held.expires {
		out := m.lose("the lease of %v has ended", m.held.Address)
		if m.state != waiting && m.state != selecting && m.state != requesting {
			out.send = m.enter(now, selecting).send
		}
		return out
	}
	if m.wake == 0 || now < m.wake {
		return output{}
	}
	switch {
	case m.state == bound:
		return m.enter(now, renewing)
	case m.state == renewing && now >= m.held.rebindAt:
		out := m.enter(now, rebinding)
		out.log = fmt.Sprintf("server %v is silent, asking any", m.held.Server)
		return out
	case m.state == requesting && m.tries >= requestTries:
		out := m.enter(now, selecting)
		out.log = fmt.Sprintf("server %v offered %v and then fell silent", m.offer.Server, m.offer.Address)
		return out
	case m.state == rebooting && m.tries >= rebootTries:
		return m.giveUpReboot(now)
	}
	return m.transmit(now)
}

// giveUpReboot ends the wait for a server that knows our address. A lease in
// force may be used until it ends (RFC 2131, 3.2).
func (m *machine) giveUpReboot(now time.Duration) output {
	if m.held == nil {
		return m.enter(now, selecting)
	}
	if now >= m.held.rebindAt {
		return m.enter(now, rebinding)
	}
	m.state, m.wake = bound, max(m.held.renewAt, now+1)
	return output{log: fmt.Sprintf("no server answers, keeping %v for now", m.held.Address)}
}

// enter starts an exchange: a new transaction and its first message.
func (m *machine) enter(now time.Duration, s state) output {
	m.state, m.tries, m.started = s, 0, now
	r := m.rand.Uint32()
	m.xid = dhcpv4.TransactionID{byte(r >> 24), byte(r >> 16), byte(r >> 8), byte(r)}
	return m.transmit(now)
}

// transmit sends the message of the present state and sets the time of the next.
func (m *machine) transmit(now time.Duration) output {
	m.sent = now
	switch m.state {
	case renewing:
		m.wake = min(now+max((m.held.rebindAt-now)/2, leastRenewPause), max(m.held.rebindAt, now+1))
	case rebinding:
		m.wake = now + max((m.held.expires-now)/2, leastRenewPause)
	default:
		m.wake = now + m.pause(m.tries)
	}
	m.tries++
	if m.state == selecting {
		return output{send: m.discover(now)}
	}
	return output{send: m.request(now)}
}

// pause is the time to the next retransmission: doubling, and up to a quarter
// or a second more or less, so that boxes that start together drift apart.
func (m *machine) pause(tries int) time.Duration {
	d := min(firstPause<<min(tries, 10), longPause)
	spread := min(d/4, time.Second)
	return d - spread + time.Duration(m.rand.Int64N(int64(2*spread)))
}

// packet takes a message that arrived on the link. What does not belong to the
// exchange under way is ignored: other clients' messages, late duplicates.
func (m *machine) packet(now time.Duration, p *dhcpv4.DHCPv4) output {
	ours := p.OpCode == dhcpv4.OpcodeBootReply && p.TransactionID == m.xid && bytes.Equal(p.ClientHWAddr, m.mac)
	if !ours || m.state == waiting || m.state == bound {
		return output{}
	}
	switch kind := p.MessageType(); {
	case kind == dhcpv4.MessageTypeOffer && m.state == selecting:
		return m.offered(now, p)
	case kind == dhcpv4.MessageTypeAck && m.state != selecting:
		return m.acknowledged(p)
	case kind == dhcpv4.MessageTypeNak && m.state != selecting:
		return m.refused(now, p)
	}
	return output{}
}

func (m *machine) offered(now time.Duration, p *dhcpv4.DHCPv4) output {
	g, err := parseGrant(p)
	if err != nil {
		return m.complain("offer", err)
	}
	m.offer = g
	// The exchange goes on: same transaction, same start (RFC 2131, 4.4.1).
	m.state, m.tries = requesting, 0
	return m.transmit(now)
}

// complain logs once what is wrong with a server's messages.
func (m *machine) complain(what string, err error) output {
	text := fmt.Sprintf("ignored an %s: %v", what, err)
	if text == m.bad {
		return output{}
	}
	m.bad = text
	return output{log: text}
}

func (m *machine) acknowledged(p *dhcpv4.DHCPv4) output {
	g, err := parseGrant(p)
	if err != nil {
		return m.complain("acknowledgement", err)
	}
	if !m.expected(g.Server) {
		return output{}
	}
	quiet := m.state == renewing && m.held.same(g)
	if m.state == rebooting && g.Address.Addr() != m.hint {
		return m.complain("acknowledgement", fmt.Errorf("it grants %v, asked was %v", g.Address, m.hint))
	}
	m.hold(g, m.sent)
	m.state, m.wake = bound, m.held.renewAt
	m.naks, m.bad = 0, ""
	out := output{lease: leaseGranted}
	if !quiet {
		out.log = fmt.Sprintf("bound %v from %v for %v", g.Address, g.Server, g.Duration)
	}
	return out
}

// expected tells whether a server may answer the present REQUEST: one that was
// sent to a server only by that one.
func (m *machine) expected(server netip.Addr) bool {
	switch m.state {
	case requesting:
		return server == m.offer.Server
	case renewing:
		return server == m.held.Server
	}
	return true
}

// refused handles a NAK: the address is not for us on this network. The first
// one is followed by a DISCOVER at once, further ones after a pause.
func (m *machine) refused(now time.Duration, p *dhcpv4.DHCPv4) output {
	server, _ := netip.AddrFromSlice(p.ServerIdentifier().To4())
	if !m.expected(server) {
		return output{}
	}
	address := m.hint
	if m.state == requesting {
		address = m.offer.Address.Addr()
	}
	out := output{log: fmt.Sprintf("server %v refused %v", server, address)}
	if m.held != nil {
		out.lease = leaseLost
	}
	m.held, m.hint = nil, netip.Addr{}
	m.naks++
	start := m.enter(now, selecting)
	if m.naks > 1 {
		m.wake = now + m.pause(m.naks)
		return out
	}
	out.send = start.send
	return out
}

// hold puts a grant in force. Up to 2 % of T1 is taken off at random, so that
// boxes that came up together do not renew together (RFC 2131, 4.4.5).
func (m *machine) hold(g grant, at time.Duration) {
	m.held = &lease{
		grant: g, at: at, expires: at + g.Duration, rebindAt: at + g.T2,
		renewAt: at + g.T1 - time.Duration(m.rand.Int64N(int64(g.T1)/50+1)),
	}
	m.hint = g.Address.Addr()
}

// lose ends the lease in force. The address is remembered: the server may give
// it again.
func (m *machine) lose(format string, args ...any) output {
	out := output{lease: leaseLost, log: fmt.Sprintf(format, args...)}
	m.held = nil
	return out
}

// listening tells whether an answer may come.
func (m *machine) listening() bool { return m.state != waiting && m.state != bound }

// text is how the client does, in words that stay true while the clock runs.
func (m *machine) text() string {
	lease := ""
	if m.held != nil {
		lease = fmt.Sprintf("bound %v from %v for %v", m.held.Address, m.held.Server, m.held.Duration)
	}
	switch m.state {
	case waiting:
		if lease == "" {
			return "waiting: no carrier"
		}
		return join(lease, "no carrier")
	case requesting:
		return join(lease, fmt.Sprintf("asking %v for %v", m.offer.Server, m.offer.Address))
	case rebooting:
		return join(lease, fmt.Sprintf("asking whether %v is still ours", m.hint))
	case renewing:
		return join(lease, "renewing")
	case rebinding:
		return join(lease, fmt.Sprintf("server %v is silent, asking any", m.held.Server))
	case bound:
		return lease
	}
	if m.tries > 1 {
		return fmt.Sprintf("asking: no server answers (%d tries)", m.tries)
	}
	return "asking"
}

func join(lease, doing string) string {
	if lease == "" {
		return doing
	}
	return lease + "; " + doing
}
