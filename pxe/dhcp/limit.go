package dhcp

import (
	"time"

	"tench/pxe/event"
)

// What may be asked. A client that boots sends some 10 packets in all; the limit
// for all is what 1,000 of them send in the first second, twice.
const (
	perClient   = 10 // packets a second
	clientBurst = 20
	perServer   = 2000 // packets a second
	serverBurst = 4000
	mostClients = 4096 // whose packets are counted
)

// bucket is a token bucket.
type bucket struct {
	tokens float64
	last   time.Time
	told   bool // the client is over its limit, and that was said
}

// fill adds what came in since the last look.
func (b *bucket) fill(rate, burst float64, now time.Time) {
	if b.last.IsZero() {
		b.tokens = burst
	} else if passed := now.Sub(b.last).Seconds(); passed > 0 {
		b.tokens = min(burst, b.tokens+passed*rate)
	}
	b.last = now
}

// limiter counts packets by client. The zero MAC is everybody whose packets
// could not be read.
type limiter struct {
	clients map[event.MAC]*bucket
	all     bucket
	swept   time.Time // when the table was last looked through
}

// verdict is what becomes of a packet.
type verdict int

const (
	pass   verdict = iota
	say            // drop it, and say so
	ignore         // drop it in silence
)

func newLimiter() *limiter { return &limiter{clients: map[event.MAC]*bucket{}} }

// take counts a packet of mac. What a client sends beyond its own limit does not
// count for all: one in a loop would keep everybody out.
func (l *limiter) take(mac event.MAC, now time.Time) verdict {
	if b := l.clients[mac]; b != nil {
		b.fill(perClient, clientBurst, now)
		switch {
		case b.tokens >= 1:
		case b.told:
			return ignore
		default:
			b.told = true
			return say
		}
	}
	l.all.fill(perServer, serverBurst, now)
	if l.all.tokens < 1 {
		return ignore
	}
	l.all.tokens--
	b := l.client(mac, now)
	if b == nil {
		return ignore
	}
	b.told = b.told && b.tokens < clientBurst/2
	b.tokens--
	return pass
}

// client finds or makes the bucket of mac; nil when the table is full. Once a
// second those are forgotten then who were quiet for so long that they are at no
// limit.
func (l *limiter) client(mac event.MAC, now time.Time) *bucket {
	if b := l.clients[mac]; b != nil {
		return b
	}
	if len(l.clients) >= mostClients {
		if now.Sub(l.swept) < time.Second {
			return nil
		}
		l.swept = now
		for m, b := range l.clients {
			if now.Sub(b.last) > clientBurst/perClient*time.Second {
				delete(l.clients, m)
			}
		}
		if len(l.clients) >= mostClients {
			return nil
		}
	}
	b := &bucket{tokens: clientBurst, last: now}
	l.clients[mac] = b
	return b
}
