package lab

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// Meter is a TCP line to a port of the loopback that counts what it carries.
type Meter struct {
	Port  string // where the line begins
	there atomic.Int64
	back  atomic.Int64
}

// Bytes are how many went to the port and how many came from it, of TCP's
// payload.
func (m *Meter) Bytes() (there, back int64) { return m.there.Load(), m.back.Load() }

// NewMeter makes a line to a port that carries at most rate bytes a second
// there; 0 stands for any number.
func NewMeter(t testing.TB, port string, rate int) *Meter {
	t.Helper()
	m := &Meter{}
	m.Port = Listen(t, func(c *net.TCPConn) {
		up, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return
		}
		defer up.Close()
		go func() {
			_, _ = io.Copy(c, counted{up, &m.back, 0})
			c.CloseWrite()
		}()
		_, _ = io.Copy(up, counted{c, &m.there, rate})
	})
	return m
}

// counted counts what is read, and takes its time.
type counted struct {
	io.Reader
	n    *atomic.Int64
	rate int
}

// piece is small, so that a slow line is slow throughout.
const piece = 4 << 10

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p[:min(len(p), piece)])
	c.n.Add(int64(n))
	if c.rate > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(c.rate))
	}
	return n, err
}
