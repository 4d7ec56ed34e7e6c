package door

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"tench/internal/lab"
)

// dialFrom connects from an address of the loopback.
func (d *testDoor) dialFrom(from string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return dialer.Dial("tcp", d.address)
}

// heap is the memory in use, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Ten thousand bad logins from one address, and from thousands: neither log nor
// memory grows, and all the while the operator gets in from elsewhere.
func TestTenThousandBadLogins(t *testing.T) {
	lab.Require(t)
	for name, tc := range map[string]struct {
		times  int
		source func(n int) string
	}{
		"from one address": {10_000, func(int) string { return "127.0.0.66" }},
		// Each of these costs a whole key exchange.
		"from many of them": {1500, func(n int) string { return fmt.Sprintf("127.1.%d.%d", n/250, 1+n%250) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := startDoor(t)
			stranger, _ := newKey(t)
			before, began := heap(), time.Now()
			var next, in atomic.Int64
			var attackers sync.WaitGroup
			over := make(chan struct{})
			for range 8 {
				attackers.Go(func() {
					for n := next.Add(1); int(n) <= tc.times; n = next.Add(1) {
						if c, err := d.login(tc.source(int(n)), "root", stranger); err == nil {
							in.Add(1)
							c.Close()
						}
					}
				})
			}
			go func() { attackers.Wait(); close(over) }()
			good := 0
			for attacked := true; attacked; good++ {
				select {
				case <-over:
					attacked = false
				default:
				}
				c, err := d.login("127.0.0.1", "root", d.key)
				if err != nil {
					t.Fatalf("the operator's login %d, while %d bad ones ran: %v", good, next.Load(), err)
				}
				if out, _, err := run(t, c, "status", ""); out != "up\n" || err != nil {
					t.Errorf("status = %q, %v", out, err)
				}
				c.Close()
			}
			if in.Load() > 0 {
				t.Errorf("%d strangers got in", in.Load())
			}
			noise := 0
			for _, line := range d.lines() {
				if strings.HasPrefix(line, "refused") || strings.HasPrefix(line, "turned away") {
					noise++
				}
			}
			if most := quietBurst + 1 + int(time.Since(began)/quietPause); noise > most {
				t.Errorf("%d lines of the log are about strangers, want at most %d", noise, most)
			}
			if len(d.gate.sources) > theLimits.remembered {
				t.Errorf("%d sources are remembered", len(d.gate.sources))
			}
			after := heap()
			if after > before+16<<20 {
				t.Errorf("memory grew from %d to %d KiB", before>>10, after>>10)
			}
			d.note.mu.Lock()
			s := d.note.state
			d.note.mu.Unlock()
			t.Logf("%d good logins in between; %d refused, %d turned away, %d lines; heap %d -> %d KiB in %s",
				good, s.BadLogins, s.TurnedAway, noise, before>>10, after>>10, time.Since(began).Round(time.Millisecond))
		})
	}
}

// Connections that say nothing, and those that send rubbish, keep nobody out.
func TestSilenceAndGarbage(t *testing.T) {
	d := startDoor(t)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for n := range 4 * theLimits.all { // slowloris, from many places
		c, err := d.dialFrom(fmt.Sprintf("127.2.0.%d", 1+n%200))
		must(t, err)
		open = append(open, c)
		operator, err := d.login("127.0.0.1", "root", d.key)
		if err != nil {
			t.Fatalf("with %d connections that say nothing: %v", n+1, err)
		}
		operator.Close()
	}
	if waiting := d.gate.waiting; waiting > theLimits.all {
		t.Errorf("%d connections wait", waiting)
	}
	for name, text := range map[string]string{
		"a web browser":           "GET / HTTP/1.1\r\nHost: gw0\r\n\r\n",
		"zeros":                   strings.Repeat("\x00", 100_000),
		"a line without an end":   strings.Repeat("x", 1<<20),
		"a version and no packet": "SSH-2.0-x\r\n" + strings.Repeat("\xff", 100_000),
		"SSH 1":                   "SSH-1.5-x\r\n",
		"a huge packet":           "SSH-2.0-x\r\n\x7f\xff\xff\xff\x04" + strings.Repeat("a", 100_000),
		"a key exchange cut off":  "SSH-2.0-x\r\n\x00\x00\x01\x00\x04\x14" + strings.Repeat("\x00", 16),
	} {
		c, err := d.dialFrom("127.3.0.1")
		must(t, err)
		go func() {
			_, _ = io.Copy(c, bytes.NewReader([]byte(text)))
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		got, _ := io.ReadAll(c) // it ends when the door closes
		c.Close()
		if len(got) > 4096 {
			t.Errorf("%s: it is answered with %d bytes", name, len(got))
		}
	}
	d.open(t)
}

// What is not asked for in the login must not be there.
func TestAlgorithms(t *testing.T) {
	d := startDoor(t)
	for _, old := range []ssh.Config{
		{KeyExchanges: []string{ssh.InsecureKeyExchangeDH14SHA1, ssh.KeyExchangeDH14SHA256, ssh.KeyExchangeECDHP256}},
		{Ciphers: []string{ssh.CipherAES128CTR, ssh.InsecureCipherAES128CBC, ssh.InsecureCipherTripleDESCBC}},
	} {
		conn, err := d.dialFrom("127.0.0.1")
		must(t, err)
		_, _, _, err = ssh.NewClientConn(conn, d.address, &ssh.ClientConfig{Config: old, User: "root",
			HostKeyCallback: ssh.InsecureIgnoreHostKey(), Auth: []ssh.AuthMethod{ssh.PublicKeys(d.key)}})
		conn.Close()
		if err == nil || !strings.Contains(err.Error(), "no common algorithm") {
			t.Errorf("a client that knows only %v: %v", old, err)
		}
	}
}
