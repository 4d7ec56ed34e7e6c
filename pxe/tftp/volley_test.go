package tftp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// counted is a file that counts how often it is read.
type counted struct {
	memory
	reads int
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	c.reads++
	return c.memory.ReadAt(p, at)
}

// ports are a transfer's port with its address, and its client.
func ports(t *testing.T, thread bool) (*port, *net.UDPAddr, *net.UDPConn) {
	t.Helper()
	var conns [2]*net.UDPConn
	for i := range conns {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	at := conns[0].LocalAddr().(*net.UDPAddr)
	p, err := newPort(conns[0], conns[1].LocalAddr().(*net.UDPAddr).AddrPort(), thread)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.close(); conns[1].Close() })
	return p, at, conns[1]
}

func TestVolley(t *testing.T) {
	tests := []struct {
		name               string
		size, block, ahead int
		send               []int64
		reads              int
	}{
		{"block by block, out of one reading", 5000, 1000, 8000, []int64{1, 2, 3, 4, 5, 6}, 1},
		{"several readings, in whole blocks", 5000, 1000, 2500, []int64{1, 2, 3, 4, 5, 6}, 3},
		{"a block that is larger", 5000, 2000, 500, []int64{1, 2, 3}, 3},
		{"again, and on", 5000, 1000, 2000, []int64{1, 2, 3, 4, 2, 3, 4, 5, 6}, 4},
		{"more than one system call", 40_000, 1000, 64_000, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 1},
		{"an empty file", 0, 1000, 8000, []int64{1}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, _, client := ports(t, false)
			whole := content(tt.size)
			file := &counted{memory: memory{bytes.NewReader(whole)}}
			v := newVolley(p, file, tt.block, tt.ahead)
			for _, block := range tt.send {
				if err := v.add(block); err != nil {
					t.Fatal(err)
				}
			}
			v.fire()
			client.SetReadDeadline(time.Now().Add(10 * time.Second))
			buffer := make([]byte, 4096)
			for _, block := range tt.send {
				n, err := client.Read(buffer)
				if err != nil {
					t.Fatal(err)
				}
				want := binary.BigEndian.AppendUint16([]byte{0, opDATA}, uint16(block))
				want = append(want, whole[min(int(block-1)*tt.block, tt.size):min(int(block)*tt.block, tt.size)]...)
				if diff := cmp.Diff(want, buffer[:n]); diff != "" {
					t.Fatalf("block %d (-want +got):\n%s", block, diff)
				}
			}
			if file.reads != tt.reads {
				t.Errorf("the file was read %d times, want %d", file.reads, tt.reads)
			}
		})
	}
}

func TestVolleyOfAFileThatWasCut(t *testing.T) {
	p, _, _ := ports(t, false)
	file := longer{memory{bytes.NewReader(content(1500))}, 3000}
	v := newVolley(p, file, 1000, 8000)
	if err := v.add(1); err != nil {
		t.Errorf("of a block that is there: %v", err)
	}
	if err := v.add(2); err != io.ErrUnexpectedEOF {
		t.Errorf("of one that is not: %v", err)
	}
}

// longer says that it has more than it has.
type longer struct {
	memory
	size int64
}

func (l longer) Size() int64 { return l.size }

func TestReadAhead(t *testing.T) {
	for transfers, want := range map[int]int{1: mostAhead, 32: mostAhead, 64: mostAhead / 2, 1000: leastAhead} {
		if got := readAhead(transfers); got != want {
			t.Errorf("of %d transfers each reads %d bytes, want %d", transfers, got, want)
		}
	}
}

func TestScope(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skipf("no loopback: %v", err)
	}
	for zone, want := range map[string]uint32{"": 0, "7": 7, "lo": uint32(lo.Index)} {
		if got := scope(netip.IPv6LinkLocalAllNodes().WithZone(zone).Zone()); got != want {
			t.Errorf("zone %q is %d, want %d", zone, got, want)
		}
	}
}
