package rawudp

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// reply is what a server sends to a client.
func reply(payload []byte) Datagram {
	return Datagram{From: netip.MustParseAddrPort("10.0.2.2:67"), To: netip.MustParseAddrPort("10.0.2.15:68"), Payload: payload}
}

// rechecked corrects the header's checksum after a change.
func rechecked(b []byte) []byte {
	header := b[:int(b[0]&0xf)*4]
	b[10], b[11] = 0, 0
	binary.BigEndian.PutUint16(b[10:], checksum(0, header))
	return b
}

func TestDecode(t *testing.T) {
	want := reply([]byte("DISCOVERED"))
	for _, tc := range []struct {
		name   string
		change func([]byte) []byte
		want   string // error; empty for none
	}{
		{"as sent", func(b []byte) []byte { return b }, ""},
		{"padded by the link", func(b []byte) []byte { return append(b, 0, 0, 0, 0) }, ""},
		{"UDP checksum not filled in", func(b []byte) []byte { b[ipHeader+6]++; return b }, ""},
		{"with options", func(b []byte) []byte {
			b = slices.Insert(b, ipHeader, 1, 1, 1, 0)
			b[0] = 0x46
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			return rechecked(b)
		}, ""},
		{"cut", func(b []byte) []byte { return b[:len(b)-1] }, "wrong length in the IPv4 header"},
		{"cut in the header", func(b []byte) []byte { return b[:19] }, "not an IPv4 packet"},
		{"IPv6", func(b []byte) []byte { b[0] = 0x65; return b }, "not an IPv4 packet"},
		{"header of 4 words", func(b []byte) []byte { b[0] = 0x44; return rechecked(b) }, "wrong length in the IPv4 header"},
		{"one bit wrong", func(b []byte) []byte { b[8] ^= 1; return b }, "wrong checksum of the IPv4 header"},
		{"fragment", func(b []byte) []byte { b[6] = 0x20; return rechecked(b) }, "a fragment"},
		{"TCP", func(b []byte) []byte { b[9] = 6; return rechecked(b) }, "not UDP"},
		{"UDP longer than IP", func(b []byte) []byte { b[ipHeader+5]++; return b }, "wrong length in the UDP header"},
		{"UDP shorter than its header", func(b []byte) []byte { b[ipHeader+5] = 7; return b }, "wrong length in the UDP header"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Decode(tc.change(want.Encode()))
			switch {
			case tc.want != "" && (err == nil || err.Error() != tc.want):
				t.Errorf("Decode: %v, want %s", err, tc.want)
			case tc.want == "" && (err != nil || got.From != want.From || got.To != want.To || !bytes.Equal(got.Payload, want.Payload)):
				t.Errorf("Decode = %v, %v, want %v", got, err, want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(reply([]byte("x")).Encode())
	f.Add(reply(nil).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := Decode(b); err == nil && (len(d.Payload) > len(b)-ipHeader-udpHeader || !d.From.Addr().Is4()) {
			t.Errorf("%d bytes from %v in a packet of %d", len(d.Payload), d.From, len(b))
		}
	})
}

// FuzzEncode checks both checksums the way a receiver does.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("DISCOVER"), uint32(0))
	f.Add([]byte("odd"), uint32(0x0a00020f))
	f.Fuzz(func(t *testing.T, payload []byte, from uint32) {
		if len(payload) > 1500 {
			return
		}
		src := netip.AddrFrom4([4]byte{byte(from >> 24), byte(from >> 16), byte(from >> 8), byte(from)})
		b := Datagram{From: netip.AddrPortFrom(src, 68), To: netip.MustParseAddrPort("255.255.255.255:67"), Payload: payload}.Encode()
		if checksum(0, b[:ipHeader]) != 0 {
			t.Error("wrong checksum of the IPv4 header")
		}
		pseudo := slices.Concat(b[12:20], []byte{0, protoUDP}, b[ipHeader+4:ipHeader+6])
		if checksum(add(0, pseudo), b[ipHeader:]) != 0 {
			t.Error("wrong checksum of UDP")
		}
	})
}
