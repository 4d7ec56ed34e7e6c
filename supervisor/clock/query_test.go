package clock

import (
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"
)

// serveNTP answers questions on loopback with a clock that is ahead of ours,
// as RFC 5905, figure 8 lays the packet out. It returns its address.
func serveNTP(t *testing.T, ahead time.Duration, change func([]byte)) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		for {
			q := make([]byte, 128)
			n, from, err := conn.ReadFrom(q)
			if err != nil {
				return
			}
			if n < 48 {
				continue
			}
			a := make([]byte, 48)
			a[0] = 4<<3 | 4 // version 4, server
			a[1] = 2        // stratum
			copy(a[12:], "LOCL")
			copy(a[24:32], q[40:48]) // origin: what the client sent
			now := ntpTime(time.Now().Add(ahead))
			for _, at := range []int{16, 32, 40} { // reference, receive, transmit
				binary.BigEndian.PutUint64(a[at:], now)
			}
			change(a)
			conn.WriteTo(a, from)
		}
	}()
	return conn.LocalAddr().String()
}

// ntpTime counts from 1900 in units of 2^-32 s.
func ntpTime(t time.Time) uint64 {
	const since1900 = 2208988800
	return uint64(t.Unix()+since1900)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

func TestAsk(t *testing.T) {
	same := func([]byte) {}
	for _, tc := range []struct {
		name   string
		ahead  time.Duration
		change func([]byte)
		err    string // part of the error; "" for none
	}{
		{"we are slow", 3 * time.Hour, same, ""},
		{"we are fast", -3 * time.Hour, same, ""},
		{"server is not synchronised", 0, func(a []byte) { a[0] |= 3 << 6 }, "leap"},
		{"kiss of death", 0, func(a []byte) { a[1] = 0; copy(a[12:], "RATE") }, "kiss of death"},
		{"answer to another question", 0, func(a []byte) { a[24] ^= 1 }, "response"},
		{"garbage", 0, func(a []byte) { clear(a) }, "mode"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ask(t.Context(), serveNTP(t, tc.ahead, tc.change))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("ask = %v, %v, want an error with %q", got, err, tc.err)
				}
				return
			}
			if off := (got - tc.ahead).Abs(); err != nil || off > time.Second {
				t.Errorf("ask = %v, %v, want about %v", got, err, tc.ahead)
			}
		})
	}
}
