package link

import (
	"container/heap"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tench/internal/lab"
)

// End is an end of a cable: a device in a network namespace, "" for the one of
// the test.
type End struct{ Peer, Device string }

// Cable makes an Ethernet cable between two network namespaces, whose ends are
// TAP devices that are up. Frames go over it as line says, drawn from seed, each
// direction for itself. It is cut when the test ends. Delays are kept to about
// 0.1 ms on a machine that has the time.
func Cable(t testing.TB, a, b End, line Line, seed uint64) {
	t.Helper()
	one, two, cut := tap(t, a), tap(t, b), event(t)
	var running sync.WaitGroup
	for i, way := range [][2]int{{one, two}, {two, one}} {
		running.Go(func() { carry(way[0], way[1], cut, New(line, seed+uint64(i))) })
	}
	t.Cleanup(func() {
		unix.Write(cut, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		running.Wait()
		for _, fd := range []int{one, two, cut} {
			unix.Close(fd)
		}
	})
}

// event makes what ends the wait of both directions.
func event(t testing.TB) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatalf("link: make an eventfd: %v", err)
	}
	return fd
}

// tap makes the TAP device of an end.
func tap(t testing.TB, e End) int {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("link: open /dev/net/tun: %v", err)
	}
	req, err := unix.NewIfreq(e.Device)
	if err != nil {
		t.Fatalf("link: %s: %v", e.Device, err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		t.Fatalf("link: make %s: %v", e.Device, err)
	}
	if e.Peer != "" {
		lab.Run(t, "", "ip", "link", "set", e.Device, "netns", e.Peer)
	}
	// Room for some windows of a sender that is quicker than the cable.
	lab.Run(t, e.Peer, "ip", "link", "set", e.Device, "txqueuelen", "2000", "up")
	return fd
}

// frame is an Ethernet frame, and when it is to arrive.
type frame struct {
	at    time.Time
	order int
	bytes []byte
}

// carry takes the frames that come out of one device to the other when their time
// has come, until cut is written to. It waits in the kernel, for Go's timers are
// exact to a millisecond only.
func carry(from, to, cut int, l *Link) {
	var way queue
	order := 0
	ready := []unix.PollFd{{Fd: int32(from), Events: unix.POLLIN}, {Fd: int32(cut), Events: unix.POLLIN}}
	for {
		for len(way) > 0 && !way[0].at.After(time.Now()) {
			unix.Write(to, heap.Pop(&way).(frame).bytes)
		}
		var wait *unix.Timespec // for ever
		if len(way) > 0 {
			ts := unix.NsecToTimespec(max(time.Until(way[0].at), 0).Nanoseconds())
			wait = &ts
		}
		if _, err := unix.Ppoll(ready, wait, nil); err != nil && err != unix.EINTR || ready[1].Revents != 0 {
			return
		}
		for {
			p := make([]byte, 2048)
			n, err := unix.Read(from, p)
			if err != nil {
				break // there is no more
			}
			for _, at := range l.Carry(time.Now(), n) {
				order++
				heap.Push(&way, frame{at, order, p[:n]})
			}
		}
	}
}

// queue is frames on their way, in the order of their arrival.
type queue []frame

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(frame)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
