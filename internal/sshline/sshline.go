// Package sshline keeps SSH connections over bad lines: it tells those that died
// in silence from slow ones. The desk and the box use it, each at its end.
package sshline

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// Conn is a connection that ends when nothing comes for some time. A line that
// died in silence would otherwise hold it until TCP gives up, which takes a
// quarter of an hour and more. Each byte that comes is a sign of life, so that
// a slow line is not taken for a dead one.
type Conn struct {
	net.Conn
	patience atomic.Int64 // time.Duration
	dead     atomic.Bool
	heard    atomic.Bool
}

// New watches a connection that may be silent for patience.
func New(conn net.Conn, patience time.Duration) *Conn {
	c := &Conn{Conn: conn}
	c.patience.Store(int64(patience))
	return c
}

// Allow sets how long the line may be silent, from now on.
func (c *Conn) Allow(patience time.Duration) {
	c.patience.Store(int64(patience))
	_ = c.SetReadDeadline(time.Now().Add(patience)) // for the Read that waits; a closed connection needs none
}

// Patience is how long the line may be silent.
func (c *Conn) Patience() time.Duration { return time.Duration(c.patience.Load()) }

// Dead reports whether the line was silent for too long.
func (c *Conn) Dead() bool { return c.dead.Load() }

// Heard reports whether anything ever came.
func (c *Conn) Heard() bool { return c.heard.Load() }

func (c *Conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.Patience())); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(true)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.dead.Store(true)
		c.Close() // somebody may be in Write, and hold what the library needs to end
	}
	return n, err
}

// queue is how many bytes may wait in the kernel beyond what TCP has sent: at
// 64 kbit/s eight seconds, behind which an answer to a sign of life has to wait.
const queue = 64 << 10

// ShortQueue keeps the kernel from taking megabytes for a slow line. It fits
// net.Dialer and net.ListenConfig, whose connections inherit it.
func ShortQueue(_, _ string, c syscall.RawConn) error {
	var err error
	ctlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, queue)
	})
	return errors.Join(ctlErr, err)
}

// KeepAlive asks the other end for a sign of life until the connection ends.
func KeepAlive(c ssh.Conn, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	ended := make(chan struct{})
	go func() { _ = c.Wait(); close(ended) }()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			if _, _, err := c.SendRequest("keepalive@openssh.com", true, nil); err != nil {
				return
			}
		}
	}
}
