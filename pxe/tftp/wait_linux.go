package tftp

import (
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// waiter is how a transfer waits for its socket, which does not block. All but
// wake is for the transfer's goroutine.
type waiter interface {
	// receive calls try when there may be a packet, until it returns true. It
	// returns false at the deadline, and early if wake was called.
	receive(try func(fd uintptr) (done bool), until time.Time) bool
	// send calls try until it returns true, or the network takes nothing.
	send(try func(fd uintptr) (done bool))
	wake()
	close()
}

// maxThreads is how many transfers may wait in a thread of their own. One
// processor is left to the others: Go takes it from a thread that waits in the
// kernel only after 10 ms.
func maxThreads() int { return min(runtime.GOMAXPROCS(0)-1, 4) }

// polled waits as all Go programs do: the runtime asks the kernel about the
// sockets of all transfers at once (epoll).
type polled struct {
	conn  *net.UDPConn
	raw   syscall.RawConn
	armed time.Time // conn's read deadline; zero: it has to be set
	woken atomic.Bool
}

// newPolled waits for conn.
func newPolled(conn *net.UDPConn) (*polled, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("tftp: open a transfer's port: %w", err)
	}
	return &polled{conn: conn, raw: raw}, nil
}

// receive sets the deadline only where it has to be earlier, for that is dear. So
// it may end early, and then is called again.
func (w *polled) receive(try func(fd uintptr) bool, until time.Time) bool {
	if w.armed.IsZero() || until.Before(w.armed) {
		w.armed = until
		w.conn.SetReadDeadline(until)
	}
	// Looked at only now, for setting the deadline undid what wake did.
	if !w.woken.Swap(false) && w.raw.Read(try) == nil {
		return true
	}
	w.armed = time.Time{}
	return false
}

func (w *polled) send(try func(fd uintptr) bool) { w.raw.Write(try) }

func (w *polled) wake() {
	w.woken.Store(true)
	w.conn.SetReadDeadline(time.Unix(1, 0))
}

func (w *polled) close() { w.conn.Close() }

// look is how long it takes at most until a thread that waits notices that it was
// woken, and how long the network may take nothing before a packet is lost.
const look = 50 * time.Millisecond

// threaded waits in the kernel itself. Where each block has to be acknowledged
// the wait is most of a transfer, and a third shorter than in the runtime, which
// has to tell one thread what another one heard. The thread is no longer Go's
// meanwhile, so that this is for few transfers at a time.
type threaded struct {
	fd    int
	ready []unix.PollFd
	woken atomic.Bool
}

// newThreaded waits for conn, which it closes: the runtime must not hear of its
// packets.
func newThreaded(conn *net.UDPConn) (*threaded, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("tftp: open a transfer's port: %w", err)
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, fmt.Errorf("tftp: open a transfer's port: %w", err)
	}
	if dupErr != nil {
		return nil, fmt.Errorf("tftp: open a transfer's port: %w", dupErr)
	}
	return &threaded{fd: fd, ready: make([]unix.PollFd, 1)}, nil
}

func (w *threaded) receive(try func(fd uintptr) bool, until time.Time) bool {
	for !w.woken.Swap(false) {
		left := time.Until(until)
		if left <= 0 {
			return false
		}
		if w.poll(unix.POLLIN, min(left, look)) && try(uintptr(w.fd)) {
			return true
		}
	}
	return false
}

func (w *threaded) send(try func(fd uintptr) bool) {
	for !try(uintptr(w.fd)) {
		if !w.poll(unix.POLLOUT, look) {
			return
		}
	}
}

// poll waits for an event of the socket.
func (w *threaded) poll(event int16, most time.Duration) bool {
	w.ready[0] = unix.PollFd{Fd: int32(w.fd), Events: event}
	ts := unix.NsecToTimespec(most.Nanoseconds())
	n, err := unix.Ppoll(w.ready, &ts, nil)
	return n > 0 && err == nil
}

func (w *threaded) wake() { w.woken.Store(true) }

func (w *threaded) close() { unix.Close(w.fd) }
