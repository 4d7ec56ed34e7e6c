package link

import (
	"container/heap"
	"os"
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
	one, two := tap(t, a), tap(t, b)
	var running []chan struct{}
	for i, way := range [][2]*os.File{{one, two}, {two, one}} {
		frames, done := make(chan frame, 4096), make(chan struct{})
		running = append(running, done)
		go read(way[0], frames)
		go func() {
			defer close(done)
			carry(frames, way[1], New(line, seed+uint64(i)))
		}()
	}
	t.Cleanup(func() {
		one.Close()
		two.Close()
		for _, done := range running {
			<-done
		}
	})
}

// tap makes the TAP device of an end.
func tap(t testing.TB, e End) *os.File {
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
	return os.NewFile(uintptr(fd), e.Device)
}

// frame is an Ethernet frame, and when it was sent or is to arrive.
type frame struct {
	at    time.Time
	order int
	bytes []byte
}

// read passes on what comes out of a device until it is closed.
func read(from *os.File, frames chan<- frame) {
	defer close(frames)
	for {
		p := make([]byte, 2048)
		n, err := from.Read(p)
		if err != nil {
			return
		}
		frames <- frame{at: time.Now(), bytes: p[:n]}
	}
}

// carry takes frames to the other device when their time has come.
func carry(frames <-chan frame, to *os.File, l *Link) {
	var way queue
	order := 0
	timer := time.NewTimer(time.Hour)
	for {
		for len(way) > 0 && !way[0].at.After(time.Now()) {
			to.Write(heap.Pop(&way).(frame).bytes)
		}
		timer.Stop()
		if len(way) > 0 {
			timer.Reset(time.Until(way[0].at))
		}
		select {
		case f, open := <-frames:
			if !open {
				return
			}
			for _, at := range l.Carry(f.at, len(f.bytes)) {
				order++
				heap.Push(&way, frame{at, order, f.bytes})
			}
		case <-timer.C:
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
