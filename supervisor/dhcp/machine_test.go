package dhcp

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/config"
)

var testMAC = net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}

// story drives a machine: it plays the clock and the server, and writes down
// what the machine does.
type story struct {
	t     *testing.T
	m     *machine
	now   time.Duration
	last  *outgoing // the last message sent
	lines []string
}

func newStory(t *testing.T, cfg config.DHCP4) *story {
	return &story{t: t, m: newMachine(cfg, testMAC, rand.New(rand.NewPCG(1, 2))), now: 100 * time.Second}
}

// note writes down a step, e.g. "REQUEST to 10.0.2.2 [renewing]".
func (s *story) note(out output) {
	s.t.Helper()
	line := ""
	if out.send != nil {
		s.last = out.send
		line = out.send.message.MessageType().String()
		if out.send.to.IsValid() {
			line += " to " + out.send.to.String()
		}
		line += " "
	}
	switch out.lease {
	case leaseGranted:
		line += "lease "
	case leaseLost:
		line += "no lease "
	}
	line += "[" + string(s.m.state) + "]"
	if out.log != "" {
		line += " " + out.log
	}
	s.lines = append(s.lines, line)
	if s.m.listening() && s.m.wake <= s.now {
		s.t.Errorf("%s: the next transmission is at %v, not after %v", line, s.m.wake, s.now)
	}
}

func (s *story) carrier(up bool) { s.note(s.m.carrier(s.now, up)) }

// silence lets the timer run out n times.
func (s *story) silence(n int) {
	for range n {
		at, ok := s.m.next()
		if !ok {
			s.t.Fatal("the machine waits for ever")
		}
		s.now = max(at, s.now)
		s.note(s.m.timer(s.now))
	}
}

// answer lets a server answer the last message a moment later. The usual
// options may be changed.
func (s *story) answer(kind dhcpv4.MessageType, change ...dhcpv4.Modifier) {
	s.t.Helper()
	s.now += time.Millisecond
	modifiers := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithYourIP(net.IP{10, 0, 2, 15}),
		dhcpv4.WithNetmask(net.CIDRMask(24, 32)),
		dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 0, 2, 2})),
		dhcpv4.WithOption(dhcpv4.OptRouter(net.IP{10, 0, 2, 2})),
	}
	reply, err := dhcpv4.NewReplyFromRequest(s.last.message, append(modifiers, change...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.note(s.m.packet(s.now, reply))
}

func server(last byte) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{10, 0, 2, last}))
}

const (
	offer = dhcpv4.MessageTypeOffer
	ack   = dhcpv4.MessageTypeAck
	nak   = dhcpv4.MessageTypeNak
)

// bind brings the machine to BOUND and forgets how.
func (s *story) bind() {
	s.carrier(true)
	s.answer(offer)
	s.answer(ack)
	s.lines = nil
}

func TestMachine(t *testing.T) {
	for _, tc := range []struct {
		name string
		play func(*story)
		want []string
	}{
		{"lease at first go", func(s *story) {
			s.carrier(true)
			s.answer(offer)
			s.answer(ack)
		}, []string{
			"DISCOVER [selecting]",
			"REQUEST [requesting]",
			"lease [bound] bound 10.0.2.15/24 from 10.0.2.2 for 1h0m0s",
		}},
		{"server comes late", func(s *story) {
			s.carrier(true)
			s.silence(3)
			s.answer(offer)
			s.silence(1)
			s.answer(ack)
		}, []string{
			"DISCOVER [selecting]", "DISCOVER [selecting]", "DISCOVER [selecting]", "DISCOVER [selecting]",
			"REQUEST [requesting]", "REQUEST [requesting]",
			"lease [bound] bound 10.0.2.15/24 from 10.0.2.2 for 1h0m0s",
		}},
		{"server falls silent after its offer", func(s *story) {
			s.carrier(true)
			s.answer(offer)
			s.silence(4)
		}, []string{
			"DISCOVER [selecting]",
			"REQUEST [requesting]", "REQUEST [requesting]", "REQUEST [requesting]", "REQUEST [requesting]",
			"DISCOVER [selecting] server 10.0.2.2 offered 10.0.2.15/24 and then fell silent",
		}},
		{"renewed by our server", func(s *story) {
			s.bind()
			s.silence(1)
			s.answer(ack)
			s.silence(1)
		}, []string{
			"REQUEST to 10.0.2.2 [renewing]", "lease [bound]", "REQUEST to 10.0.2.2 [renewing]",
		}},
		{"renewal with another lease time is told", func(s *story) {
			s.bind()
			s.silence(1)
			s.answer(ack, dhcpv4.WithLeaseTime(7200))
		}, []string{
			"REQUEST to 10.0.2.2 [renewing]", "lease [bound] bound 10.0.2.15/24 from 10.0.2.2 for 2h0m0s",
		}},
		{"rebound by another server", func(s *story) {
			s.bind()
			for s.m.state != rebinding {
				s.silence(1)
			}
			s.lines = s.lines[len(s.lines)-1:]
			s.answer(ack, server(3))
		}, []string{
			"REQUEST [rebinding] server 10.0.2.2 is silent, asking any",
			"lease [bound] bound 10.0.2.15/24 from 10.0.2.3 for 1h0m0s",
		}},
		{"lease ends while all servers are silent, and one comes back", func(s *story) {
			s.bind()
			for s.m.held != nil {
				s.silence(1)
			}
			s.lines = s.lines[len(s.lines)-1:]
			s.silence(1)
			s.answer(offer)
			s.answer(ack)
		}, []string{
			"DISCOVER no lease [selecting] the lease of 10.0.2.15/24 has ended",
			"DISCOVER [selecting]",
			"REQUEST [requesting]",
			"lease [bound] bound 10.0.2.15/24 from 10.0.2.2 for 1h0m0s",
		}},
		{"NAK while renewing", func(s *story) {
			s.bind()
			s.silence(1)
			s.answer(nak)
		}, []string{
			"REQUEST to 10.0.2.2 [renewing]",
			"DISCOVER no lease [selecting] server 10.0.2.2 refused 10.0.2.15",
		}},
		{"NAK after NAK: a pause before the next DISCOVER", func(s *story) {
			s.carrier(true)
			s.answer(offer)
			s.answer(nak)
			s.answer(offer)
			s.answer(nak)
			s.silence(1)
		}, []string{
			"DISCOVER [selecting]",
			"REQUEST [requesting]",
			"DISCOVER [selecting] server 10.0.2.2 refused 10.0.2.15",
			"REQUEST [requesting]",
			"[selecting] server 10.0.2.2 refused 10.0.2.15",
			"DISCOVER [selecting]",
		}},
		{"carrier lost and back: the same address is asked for at once", func(s *story) {
			s.bind()
			s.carrier(false)
			s.carrier(true)
			s.answer(ack)
		}, []string{
			"[waiting] no carrier",
			"REQUEST [rebooting]",
			"lease [bound] bound 10.0.2.15/24 from 10.0.2.2 for 1h0m0s",
		}},
		{"carrier back on another network", func(s *story) {
			s.bind()
			s.carrier(false)
			s.carrier(true)
			s.answer(nak, server(9))
			s.answer(offer, server(9))
			s.answer(ack, server(9))
		}, []string{
			"[waiting] no carrier",
			"REQUEST [rebooting]",
			"DISCOVER no lease [selecting] server 10.0.2.9 refused 10.0.2.15",
			"REQUEST [requesting]",
			"lease [bound] bound 10.0.2.15/24 from 10.0.2.9 for 1h0m0s",
		}},
		{"carrier back, servers silent: the lease stays", func(s *story) {
			s.bind()
			s.carrier(false)
			s.carrier(true)
			s.silence(4)
		}, []string{
			"[waiting] no carrier",
			"REQUEST [rebooting]", "REQUEST [rebooting]", "REQUEST [rebooting]",
			"[bound] no server answers, keeping 10.0.2.15/24 for now",
			"REQUEST to 10.0.2.2 [renewing]",
		}},
		{"lease ends without carrier", func(s *story) {
			s.bind()
			s.carrier(false)
			s.silence(1)
			s.carrier(true)
		}, []string{
			"[waiting] no carrier",
			"no lease [waiting] the lease of 10.0.2.15/24 has ended",
			"REQUEST [rebooting]",
		}},
		{"address from an earlier boot, server silent", func(s *story) {
			s.m.hint = netip.MustParseAddr("10.0.2.77")
			s.carrier(true)
			s.silence(3)
		}, []string{
			"REQUEST [rebooting]", "REQUEST [rebooting]", "REQUEST [rebooting]", "DISCOVER [selecting]",
		}},
		{"server confirms another address than was asked", func(s *story) {
			s.m.hint = netip.MustParseAddr("10.0.2.77")
			s.carrier(true)
			s.answer(ack)
		}, []string{
			"REQUEST [rebooting]",
			"[rebooting] ignored an acknowledgement: it grants 10.0.2.15/24, asked was 10.0.2.77",
		}},
		{"restored lease, confirmed", func(s *story) {
			s.note(s.m.restore(s.now, testGrant(), s.now-time.Minute))
			s.carrier(true)
			s.answer(ack)
		}, []string{
			"lease [waiting] found the lease of 10.0.2.15/24, asking whether it is still good",
			"REQUEST [rebooting]",
			"lease [bound] bound 10.0.2.15/24 from 10.0.2.2 for 1h0m0s",
		}},
		{"offers that are no good are told once", func(s *story) {
			s.carrier(true)
			s.answer(offer, dhcpv4.WithLeaseTime(1))
			s.answer(offer, dhcpv4.WithLeaseTime(1))
			s.answer(offer, dhcpv4.WithYourIP(net.IP{127, 0, 0, 1}))
		}, []string{
			"DISCOVER [selecting]",
			"[selecting] ignored an offer: a lease of 1s is shorter than 10s",
			"[selecting]",
			"[selecting] ignored an offer: 127.0.0.1 is no address for a host",
		}},
		{"messages of others are ignored", func(s *story) {
			s.carrier(true)
			s.answer(ack)
			s.answer(offer, dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}))
			s.answer(offer, dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 1}))
			s.answer(offer)
			s.answer(ack, server(3))
			s.answer(nak, server(3))
		}, []string{
			"DISCOVER [selecting]", "[selecting]", "[selecting]", "[selecting]",
			"REQUEST [requesting]", "[requesting]", "[requesting]",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t, config.DHCP4{})
			tc.play(s)
			if diff := cmp.Diff(tc.want, s.lines); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func testGrant() grant {
	return grant{
		Address: netip.MustParsePrefix("10.0.2.15/24"), Server: netip.MustParseAddr("10.0.2.2"),
		Duration: time.Hour, T1: 30 * time.Minute, T2: 50 * time.Minute,
	}
}

// TestMessageFields checks the table in RFC 2131, 4.3.6.
func TestMessageFields(t *testing.T) {
	fields := func(p *dhcpv4.DHCPv4) string {
		return fmt.Sprintf("ciaddr %v, asks %v, server %v", p.ClientIPAddr, p.RequestedIPAddress(), p.ServerIdentifier())
	}
	s := newStory(t, config.DHCP4{})
	got := map[string]string{}
	s.carrier(true)
	got["discover"] = fields(s.last.message)
	s.answer(offer)
	got["selecting"] = fields(s.last.message)
	s.answer(ack)
	s.silence(1)
	got["renewing"] = fields(s.last.message)
	for s.m.state != rebinding {
		s.silence(1)
	}
	got["rebinding"] = fields(s.last.message)
	s.carrier(false)
	s.carrier(true)
	got["init-reboot"] = fields(s.last.message)
	want := map[string]string{
		"discover":    "ciaddr 0.0.0.0, asks <nil>, server <nil>",
		"selecting":   "ciaddr 0.0.0.0, asks 10.0.2.15, server 10.0.2.2",
		"renewing":    "ciaddr 10.0.2.15, asks <nil>, server <nil>",
		"rebinding":   "ciaddr 10.0.2.15, asks <nil>, server <nil>",
		"init-reboot": "ciaddr 0.0.0.0, asks 10.0.2.15, server <nil>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestClientIdentifierAndHostname(t *testing.T) {
	for _, tc := range []struct {
		name     string
		cfg      config.DHCP4
		id, host string
	}{
		{"default: hardware address, no name", config.DHCP4{}, "\x01\x52\x54\x00\x12\x34\x56", ""},
		{"given", config.DHCP4{ClientID: "user@isp|secret", Hostname: "gw0"}, "user@isp|secret", "gw0"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory(t, tc.cfg)
			s.carrier(true)
			id := string(s.last.message.Options.Get(dhcpv4.OptionClientIdentifier))
			if host := s.last.message.HostName(); id != tc.id || host != tc.host {
				t.Errorf("client id %q, host name %q, want %q, %q", id, host, tc.id, tc.host)
			}
		})
	}
}

// TestPauses checks that retransmissions start fast, slow down, and stay random.
func TestPauses(t *testing.T) {
	s := newStory(t, config.DHCP4{})
	s.carrier(true)
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 64, 64} {
		want *= 500 * time.Millisecond
		before := s.now
		s.silence(1)
		if pause := s.now - before; pause < want*3/4 || pause > want*5/4 || pause == want {
			t.Errorf("pause %d is %v, want about %v", i, pause, want)
		}
	}
	if secs := s.last.message.NumSeconds; secs < 100 || secs > 180 {
		t.Errorf("secs = %d after %v", secs, s.now-100*time.Second)
	}
}

// TestRenewalTimes checks T1 and T2 of RFC 2131, 4.4.5, and the pauses there.
func TestRenewalTimes(t *testing.T) {
	s := newStory(t, config.DHCP4{})
	s.bind()
	start := s.m.held.at
	within := func(what string, got, low, high time.Duration) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s after %v, want %v to %v", what, got, low, high)
		}
	}
	s.silence(1)
	within("T1", s.now-start, 29*time.Minute, 30*time.Minute)
	sends := 1
	for s.m.state == renewing {
		before := s.now
		s.silence(1)
		if s.m.state == renewing {
			within("REQUEST again", s.now-before, leastRenewPause, 12*time.Minute)
		}
		sends++
	}
	within("T2", s.now-start, 3600/8*7*time.Second, 3600/8*7*time.Second+time.Second)
	for s.m.held != nil {
		s.silence(1)
		sends++
	}
	within("the end", s.now-start, time.Hour, time.Hour)
	if sends > 12 {
		t.Errorf("%d REQUESTs in an hour's lease", sends)
	}
}

// TestRestoredLeasePastItsEnd: the file may be an hour older than the lease, so
// that there must be time to confirm it, but not for ever.
func TestRestoredLeasePastItsEnd(t *testing.T) {
	s := newStory(t, config.DHCP4{})
	s.now = 10 * time.Hour
	s.note(s.m.restore(s.now, testGrant(), 0))
	if left := s.m.held.expires - s.now; left != restoredGrace {
		t.Errorf("the restored lease ends in %v, want %v", left, restoredGrace)
	}
	s.carrier(true)
	for s.m.held != nil {
		s.silence(1)
	}
	if s.now > 10*time.Hour+restoredGrace || s.m.state != selecting {
		t.Errorf("at %v the machine is %s", s.now, s.m.state)
	}
}
