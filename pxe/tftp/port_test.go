package tftp

import (
	"net"
	"testing"
	"time"
)

// eachWay runs a test for both ways in which a transfer waits.
func eachWay(t *testing.T, test func(t *testing.T, thread bool)) {
	t.Run("polled", func(t *testing.T) { test(t, false) })
	t.Run("threaded", func(t *testing.T) { test(t, true) })
}

func TestPortKnowsItsClient(t *testing.T) {
	eachWay(t, func(t *testing.T, thread bool) {
		p, at, client := ports(t, thread)
		_, _, other := ports(t, thread)
		until := time.Now().Add(10 * time.Second)
		buffer := make([]byte, 4)
		for _, tt := range []struct {
			from    *net.UDPConn
			packet  string
			clients bool
		}{{client, "one", true}, {other, "two", false}, {client, "cut off", true}} {
			if _, err := tt.from.WriteToUDP([]byte(tt.packet), at); err != nil {
				t.Fatal(err)
			}
			n, clients, ok := p.receive(buffer, until)
			if want := tt.packet[:min(4, len(tt.packet))]; !ok || clients != tt.clients || string(buffer[:n]) != want {
				t.Errorf("received %q, the client's: %v, %v, want %q, %v", buffer[:n], clients, ok, want, tt.clients)
			}
			answer, text := p.write, "yes"
			if !tt.clients {
				answer, text = p.reply, "no"
			}
			answer([]byte(text))
			tt.from.SetReadDeadline(until)
			if n, from, err := tt.from.ReadFromUDPAddrPort(buffer); err != nil || string(buffer[:n]) != text || from != at.AddrPort() {
				t.Errorf("%q gets %q from %v: %v", tt.packet, buffer[:n], from, err)
			}
		}
	})
}

// A wait ends at its deadline, even if an earlier one had a later, and when
// somebody wants the transfer to look at something: whether it waited already or
// not.
func TestPortWaits(t *testing.T) {
	eachWay(t, func(t *testing.T, thread bool) {
		p, at, client := ports(t, thread)
		buffer := make([]byte, 4)
		never := time.Now().Add(time.Hour)
		if _, err := client.WriteToUDP([]byte("one"), at); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := p.receive(buffer, never); !ok {
			t.Fatal("nothing was received")
		}
		soon := time.Now().Add(20 * time.Millisecond)
		for time.Now().Before(soon) {
			if _, _, ok := p.receive(buffer, soon); ok {
				t.Fatal("something was received")
			}
		}
		p.wake()
		if _, _, ok := p.receive(buffer, never); ok {
			t.Error("something was received after a wake")
		}
		go p.wake()
		if _, _, ok := p.receive(buffer, never); ok {
			t.Error("something was received before a wake")
		}
		if _, err := client.WriteToUDP([]byte("two"), at); err != nil {
			t.Fatal(err)
		}
		n, _, ok := p.receive(buffer, never)
		if !ok { // it was told of the wake twice
			n, _, ok = p.receive(buffer, never)
		}
		if !ok || string(buffer[:n]) != "two" {
			t.Errorf("received %q, %v after all that", buffer[:n], ok)
		}
	})
}
