package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tench/internal/lab"
)

// BenchmarkThousand has 1,000 clients in the middle of a file each, and prints the
// memory of the server and its children then (PSS), beside dnsmasq, tftpd-hpa and
// atftpd, whose limits are raised to that; lost is how many of the clients did not
// get their whole file afterwards.
func BenchmarkThousand(b *testing.B) {
	lab.RequireRoot(b, "ip", "ss", "dnsmasq", "in.tftpd")
	const clients, size = 1000, 64 << 10
	dir := b.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.WriteFile(filepath.Join(dir, "file"), content(size), 0o644)); err != nil {
		b.Fatal(err)
	}
	servers := append([]rival{{name: "tench"}}, rivals...)
	for b.Loop() {
		for i, r := range servers {
			addr := fmt.Sprintf("127.0.0.%d", i+1)
			var p *lab.Program
			if r.args == nil {
				p = spawn(b, "", addr, dir, "lo")
			} else {
				args := r.args(addr, dir)
				if _, err := exec.LookPath(args[0]); err != nil {
					b.Logf("not beside %s: %v", r.name, err)
					continue
				}
				p = lab.Spawn(b, "", args...)
				listens(b, "", addr)
			}
			memory, lost, err := crowd(p, netip.AddrPortFrom(netip.MustParseAddr(addr), 69), clients, size)
			if err != nil { // atftpd 0.8 ends at its 1,024th file: select(2) takes no more
				b.Logf("%s is not there with %d clients: %v", r.name, clients, err)
			} else {
				b.ReportMetric(float64(memory)/1e6, r.name+"-MB")
			}
			b.ReportMetric(float64(lost), r.name+"-lost")
			p.Stop()
		}
	}
	b.ReportMetric(0, "ns/op")
}

// crowd has n clients fetch a file of size bytes, and returns the memory of the
// server's processes while all are in the middle of it.
func crowd(p *lab.Program, server netip.AddrPort, n, size int) (memory, lost int64, err error) {
	var begun, done sync.WaitGroup
	var missing atomic.Int64
	goOn := make(chan struct{})
	for i := range n {
		begun.Add(1)
		done.Go(func() {
			m := &member{server: server}
			err := m.begin(netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}))
			begun.Done()
			<-goOn
			if err == nil {
				err = m.finish(size)
			}
			if err != nil {
				missing.Add(1)
			}
		})
	}
	begun.Wait()
	memory, err = p.FamilyMemory()
	close(goOn)
	done.Wait()
	return memory, missing.Load(), err
}

// member is one client of a crowd.
type member struct {
	server netip.AddrPort // first its port 69, then the transfer's
	conn   *net.UDPConn
	last   []byte // what was sent last
	buffer [2048]byte
}

const memberBlock = 1428

// begin asks for the file from an address and gets its first block.
func (m *member) begin(from netip.Addr) (err error) {
	if m.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))); err != nil {
		return err
	}
	m.last = appendRequest(nil, request{name: "file", mode: "octet", options: []option{{"blksize", fmt.Sprint(memberBlock)}}})
	if _, err := m.ask(opOACK, 0); err != nil {
		return err
	}
	m.acknowledge(0)
	_, err = m.ask(opDATA, 1)
	return err
}

// finish fetches the rest.
func (m *member) finish(size int) error {
	defer m.conn.Close()
	block := uint16(1)
	for got := memberBlock; got < size; {
		m.acknowledge(block)
		block++
		n, err := m.ask(opDATA, block)
		if err != nil {
			return err
		}
		got += n - header
	}
	m.acknowledge(block)
	_, err := m.conn.WriteToUDPAddrPort(m.last, m.server)
	return err
}

func (m *member) acknowledge(block uint16) {
	m.last = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, opACK), block)
}

// ask sends the last packet until the answer comes, and returns its length. The
// number of an OACK is not looked at.
func (m *member) ask(op, block uint16) (int, error) {
	for range 5 {
		if _, err := m.conn.WriteToUDPAddrPort(m.last, m.server); err != nil {
			return 0, err
		}
		if err := m.conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
			return 0, err
		}
		for {
			n, from, err := m.conn.ReadFromUDPAddrPort(m.buffer[:])
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return 0, err
			}
			if n >= header && binary.BigEndian.Uint16(m.buffer[:]) == op && (op == opOACK || binary.BigEndian.Uint16(m.buffer[2:]) == block) {
				m.server = from
				return n, nil
			}
		}
	}
	return 0, errors.New("no answer")
}
