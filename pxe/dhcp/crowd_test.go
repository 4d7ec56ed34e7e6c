package dhcp

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// crowd is many boxes that are switched on within a second, on a wire that loses
// packets. Each sends DISCOVER until it has heard an offer, waits a while as
// firmware does, and then REQUEST until it has its ACK. Time is that of the
// simulation; chance has a fixed seed.
type crowd struct {
	*bench
	t     *testing.T
	rng   *rand.Rand
	lost  float64 // share of packets, each way
	queue turns
	addrs map[netip.Addr]event.MAC
	sent  int // packets of the boxes
}

// simulated is one box.
type simulated struct {
	mac     event.MAC
	offered netip.Addr // not valid before an offer was heard
	tries   int
}

// turn is when a box sends next.
type turn struct {
	at  time.Time
	box *simulated
}

type turns []turn

func (q turns) Len() int           { return len(q) }
func (q turns) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q turns) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *turns) Push(x any)        { *q = append(*q, x.(turn)) }
func (q *turns) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func (c *crowd) later(b *simulated, wait time.Duration) {
	heap.Push(&c.queue, turn{c.now.Add(wait), b})
}

// deliver sends m to the server and back; nil when either was lost.
func (c *crowd) deliver(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	c.sent++
	if c.rng.Float64() < c.lost {
		return nil
	}
	r, out := c.send(c.t, m, serverPort)
	if r == nil {
		c.t.Errorf("%v: no answer: %v", event.MAC(m.ClientHWAddr), says(out))
	}
	if c.rng.Float64() < c.lost {
		return nil
	}
	return r
}

// step lets a box send what is its turn. Pauses double from a second, as iPXE's.
func (c *crowd) step(b *simulated) {
	kind, mods := dhcpv4.MessageTypeDiscover, []dhcpv4.Modifier(ipxeROM)
	if b.offered.IsValid() {
		kind, mods = dhcpv4.MessageTypeRequest, append(mods, requested(b.offered), of(c.server.Addr().String()))
	}
	r := c.deliver(ask(b.mac, kind, mods...))
	pause := time.Second << min(b.tries, 4)
	b.tries++
	switch {
	case r == nil:
		c.later(b, pause)
	case r.MessageType() == dhcpv4.MessageTypeOffer:
		if a := address(r.YourIPAddr); b.offered.IsValid() && a != b.offered {
			c.t.Errorf("%v is offered %v, then %v", b.mac, b.offered, a)
		} else {
			b.offered, b.tries = a, 0
		}
		c.later(b, time.Duration(c.rng.IntN(3000))*time.Millisecond)
	case r.MessageType() == dhcpv4.MessageTypeAck:
		a := address(r.YourIPAddr)
		if owner, taken := c.addrs[a]; taken && owner != b.mac {
			c.t.Errorf("%v and %v have both %v", owner, b.mac, a)
		}
		if mac, ok := c.pool.owner(a); !ok || mac != b.mac {
			c.t.Errorf("%v has %v, and the pool says %v", b.mac, a, mac)
		}
		c.addrs[a] = b.mac
	default:
		c.t.Errorf("%v: %v", b.mac, r.MessageType())
	}
}

// boot switches n boxes on and returns how long it took until all had an address.
func (c *crowd) boot(n int) time.Duration {
	begun := c.now
	for i := range n {
		c.later(&simulated{mac: numbered(i)}, time.Duration(c.rng.IntN(1000))*time.Millisecond)
	}
	for len(c.queue) > 0 {
		next := heap.Pop(&c.queue).(turn)
		c.now = next.at
		c.step(next.box)
		if c.now.Sub(begun) > 10*time.Minute {
			c.t.Fatal("boxes still ask after ten minutes")
		}
	}
	return c.now.Sub(begun)
}

// TestThousandBoxes boots 1,000 boxes at once, and again an hour later in another
// order: all get an address of their own, the same both times.
func TestThousandBoxes(t *testing.T) {
	const boxes = 1000
	for _, tc := range []struct {
		name   string
		lost   float64
		within time.Duration
		sent   int // at most, by both boots
	}{
		{"nothing lost", 0, 4 * time.Second, 2 * 2 * boxes},
		{"a tenth lost", 0.1, time.Minute, 3 * 2 * boxes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &crowd{
				bench: newBench(t, Full, netip.MustParsePrefix("10.0.0.1/21")), t: t, lost: tc.lost,
				rng: rand.New(rand.NewPCG(1, 2)), addrs: map[netip.Addr]event.MAC{},
			}
			for range 2 {
				if took := c.boot(boxes); took > tc.within {
					t.Errorf("the last box has its address after %v, want %v at most", took, tc.within)
				}
				if len(c.addrs) != boxes || len(c.pool.byMAC) != boxes || len(c.limit.clients) != boxes {
					t.Errorf("%d addresses, %d leases, %d counters for %d boxes", len(c.addrs), len(c.pool.byMAC), len(c.limit.clients), boxes)
				}
				c.now = c.now.Add(time.Hour)
			}
			if c.sent > tc.sent {
				t.Errorf("the boxes sent %d packets, want %d at most", c.sent, tc.sent)
			}
		})
	}
}
