package tftp

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"tench/internal/lab/link"
)

// epoch is when simulations begin.
var epoch = time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)

// manners are how a client treats blocks it does not expect. All of them drop
// what is not the next block.
type manners struct {
	name    string
	old     bool // acknowledges again when its last block comes again
	gaps    bool // acknowledges at every block it does not want, not only at a gap's first
	once    bool // acknowledges at the first block it does not want, be it old or not
	wait    time.Duration
	restart bool // any packet restarts its wait
}

var clients = []manners{
	{name: "answers everything, as EDK2 does", old: true, gaps: true, wait: 4 * time.Second},
	{name: "names a gap once, as U-Boot does", old: true, wait: 5 * time.Second},
	{name: "names what it does not want once, as atftp does", once: true, wait: 5 * time.Second},
	{name: "ignores what it has, as u-root's does", wait: time.Second, restart: true},
}

// simulation is a sender and a client at the ends of two lines, in virtual time.
type simulation struct {
	now     time.Time
	sender  *sender
	out, in *link.Link
	queue   arrivalQueue
	order   int
	manners manners
	window  int64
	got     int64 // the client's last block in order
	since   int64 // blocks since its last ACK
	gap     bool  // it has named the gap it is in
	heardAt time.Time
	sent    int
	stall   time.Duration // the longest time in which the client did not get ahead
	ahead   time.Time
}

type arrived struct {
	at     time.Time
	order  int
	client bool
	block  int64
}

type arrivalQueue []arrived

func (q arrivalQueue) Len() int { return len(q) }
func (q arrivalQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].order < q[j].order
}
func (q arrivalQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *arrivalQueue) Push(x any)   { *q = append(*q, x.(arrived)) }
func (q *arrivalQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

func (s *simulation) carry(l *link.Link, size int, toClient bool, block int64) {
	for _, at := range l.Carry(s.now, size) {
		s.order++
		heap.Push(&s.queue, arrived{at, s.order, toClient, block})
	}
}

// send has the sender's blocks take 8 µs each, as on a gigabit line.
func (s *simulation) send(blocks span) {
	if blocks == nothing {
		return
	}
	for b := blocks.first; b <= blocks.last; b++ {
		s.now = s.now.Add(8 * time.Microsecond)
		s.sent++
		s.carry(s.out, 1472, true, b)
	}
	s.sender.sent(s.now)
}

func (s *simulation) ack() {
	s.since, s.heardAt = 0, s.now
	s.carry(s.in, 46, false, s.got)
}

// data is the client's side.
func (s *simulation) data(block int64) {
	if s.manners.restart {
		s.heardAt = s.now
	}
	switch {
	case block == 0:
		if s.got <= 0 {
			s.got = 0
			s.ack()
		}
	case s.got < 0:
	case block == s.got+1:
		s.got++
		s.stall = max(s.stall, s.now.Sub(s.ahead))
		s.ahead = s.now
		s.since++
		s.gap = false
		s.heardAt = s.now
		if s.since == s.window || s.got == s.sender.blocks {
			s.ack()
		}
	case s.manners.once:
		if !s.gap {
			s.ack()
		}
		s.gap = true
	case block > s.got:
		if !s.gap || s.manners.gaps {
			s.ack()
		}
		s.gap = true
	case s.manners.gaps, s.manners.old && block == s.got:
		s.ack()
	}
}

// run simulates until the transfer is over, and returns how long it took.
func (s *simulation) run(limit time.Duration) (time.Duration, error) {
	s.now, s.ahead, s.heardAt = epoch, epoch, epoch
	s.got = -1
	s.send(s.sender.begin(s.now))
	for !s.sender.over && !s.sender.silent {
		if s.now.Sub(epoch) > limit {
			return limit, fmt.Errorf("not over after %v: base %d, the client has %d of %d", limit, s.sender.base, s.got, s.sender.blocks)
		}
		due, clientDue := s.sender.deadline(), s.heardAt.Add(s.manners.wait)
		switch {
		case len(s.queue) > 0 && s.queue[0].at.Before(due) && s.queue[0].at.Before(clientDue):
			a := heap.Pop(&s.queue).(arrived)
			if a.at.After(s.now) {
				s.now = a.at
			}
			if a.client {
				s.data(a.block)
			} else {
				s.send(s.sender.ack(s.now, uint16(a.block)))
			}
		case due.Before(clientDue):
			s.now = later(s.now, due)
			s.send(s.sender.late(s.now))
		default:
			s.now = later(s.now, clientDue)
			s.ack()
		}
	}
	if s.sender.silent || s.got != s.sender.blocks {
		return s.now.Sub(epoch), fmt.Errorf("ended: silent %v, the client has %d of %d blocks", s.sender.silent, s.got, s.sender.blocks)
	}
	return s.now.Sub(epoch), nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func newSimulation(size int64, window int, m manners, line link.Line, seed uint64) *simulation {
	t := terms{block: 1468, window: window, grant: []option{{"blksize", "1468"}, {"windowsize", fmt.Sprint(window)}}}
	return &simulation{
		sender: newSender(size, t), window: int64(window), manners: m,
		out: link.New(line, seed), in: link.New(line, seed+1000),
	}
}

// cable is a line of 5 ms there and back.
func cable(loss float64) link.Line { return link.Line{Delay: 2500 * time.Microsecond, Loss: loss} }

// many runs simulations with several seeds; the results are of all of them.
func many(t *testing.T, window int, m manners, line link.Line) (took, stall time.Duration, sent float64) {
	t.Helper()
	const size, runs = 4 << 20, 5
	for seed := range uint64(runs) {
		s := newSimulation(size, window, m, line, seed)
		d, err := s.run(10 * time.Minute)
		if err != nil {
			t.Errorf("window %d, seed %d: %v", window, seed, err)
		}
		took += d
		stall = max(stall, s.stall)
		sent += float64(s.sent) / float64(s.sender.blocks) / runs
	}
	return took, stall, sent
}

// What is left of the speed at a loss, and how often a block is sent then. A
// client keeps nothing behind a gap, so a window of 64 at 5 % gets 18 blocks
// across before the first gap, and half the speed is had by sending more often.
// u-root's client lets a lost ACK pass unnoticed, which costs more waits.
func TestLoss(t *testing.T) {
	tests := []struct {
		window     int
		loss       float64
		least      float64 // part of the speed without loss
		leastQuiet float64 // the same, of a client that ignores what it has
		sent       float64 // times, at most
	}{
		{1, 0.01, 0.9, 0.15, 1.1}, {1, 0.05, 0.7, 0.04, 1.3},
		{4, 0.01, 0.9, 0.75, 1.2}, {4, 0.05, 0.6, 0.4, 1.5},
		{16, 0.01, 0.75, 0.75, 1.4}, {16, 0.05, 0.45, 0.3, 2.2},
		{64, 0.01, 0.6, 0.6, 1.6}, {64, 0.05, 0.45, 0.35, 7},
	}
	for _, tt := range tests {
		for _, m := range clients {
			t.Run(fmt.Sprintf("%s, window %d, loss %v", m.name, tt.window, tt.loss), func(t *testing.T) {
				clean, _, _ := many(t, tt.window, m, cable(0))
				lossy, stall, sent := many(t, tt.window, m, cable(tt.loss))
				least, longest := tt.least, 2*time.Second
				switch {
				case m.restart:
					least, longest = tt.leastQuiet, 4*time.Second
				case m.once && tt.window == 1: // a block that comes twice is named once, and that may get lost
					least, longest = tt.least*0.7, 4*time.Second
				}
				if part := clean.Seconds() / lossy.Seconds(); part < least {
					t.Errorf("%.2f of the speed without loss, want %.2f", part, least)
				}
				if stall > longest {
					t.Errorf("the client got nothing for %v", stall)
				}
				if sent > tt.sent {
					t.Errorf("blocks are sent %.2f times, want %.2f at most", sent, tt.sent)
				}
			})
		}
	}
}

func TestDoubledAndReorderedPackets(t *testing.T) {
	for _, m := range clients {
		for _, window := range []int{1, 4, 16, 64} {
			line := cable(0.01)
			line.Duplicate, line.Reorder, line.Late = 0.05, 0.02, time.Millisecond
			if _, stall, sent := many(t, window, m, line); stall > 4*time.Second || sent > 8 {
				t.Errorf("%s, window %d: stalls of %v, sent %.2f times", m.name, window, stall, sent)
			}
		}
	}
}

// A slow line of which the client's gaps come while much is queued: what netboot
// servers without a rule against it collapse on.
func TestSlowLine(t *testing.T) {
	for _, m := range clients {
		line := link.Line{Delay: 500 * time.Microsecond, Rate: 1 << 20, Loss: 0.01}
		if _, _, sent := many(t, 64, m, line); sent > 3 {
			t.Errorf("%s: blocks are sent %.2f times", m.name, sent)
		}
	}
}

// A queue before a slow line that is too short for a window, so that the end of
// each is lost: the sender has to find out how fast the line is.
func TestShortQueue(t *testing.T) {
	const size, runs = 4 << 20, 5
	tests := []struct {
		rate   int64 // bytes a second
		queue  time.Duration
		window int
		loss   float64
		least  float64 // part of the rate
	}{
		{1 << 20, 20 * time.Millisecond, 16, 0, 0.5}, {1 << 20, 20 * time.Millisecond, 16, 0.02, 0.25},
		{1 << 20, 20 * time.Millisecond, 64, 0, 0.2}, {1 << 20, 20 * time.Millisecond, 64, 0.02, 0.15},
		{12 << 20, 2 * time.Millisecond, 16, 0, 0.85}, {12 << 20, 2 * time.Millisecond, 64, 0, 0.3},
	}
	for _, tt := range tests {
		for _, m := range clients {
			t.Run(fmt.Sprintf("%s, %d kB/s, window %d, loss %v", m.name, tt.rate>>10, tt.window, tt.loss), func(t *testing.T) {
				line := link.Line{Delay: 500 * time.Microsecond, Rate: tt.rate, Queue: tt.queue, Loss: tt.loss}
				if tt.rate > 1<<20 {
					line.Delay = 100 * time.Microsecond
				}
				took, stall, _ := many(t, tt.window, m, line)
				if part := runs * size / took.Seconds() / float64(tt.rate); part < tt.least {
					t.Errorf("%.2f of the line's speed, want %.2f", part, tt.least)
				}
				if stall > 4*time.Second {
					t.Errorf("the client got nothing for %v", stall)
				}
			})
		}
	}
}

func TestSilentClient(t *testing.T) {
	for _, m := range clients {
		s := newSimulation(1<<20, 4, m, link.Line{Loss: 1}, 0)
		took, err := s.run(time.Minute)
		if err == nil || !s.sender.silent || took > patienceShort+waitMost || s.sent > 10 {
			t.Errorf("%s: given up after %v and %d packets: %v", m.name, took, s.sent, err)
		}
	}
}

// step is something that happens to a sender, and what it does.
type step struct {
	after time.Duration // since the step before
	ack   int           // the block acknowledged; -1: the deadline passed
	want  span
}

func TestSender(t *testing.T) {
	const rtt = 4 * time.Millisecond
	windows := terms{block: 1000, window: 4, grant: []option{{"windowsize", "4"}}}
	wide := terms{block: 1000, window: 8, grant: []option{{"windowsize", "8"}}}
	plain := terms{block: 1000, window: 1}
	tests := []struct {
		name  string
		terms terms
		size  int64
		steps []step
	}{
		{name: "block by block", terms: plain, size: 2500, steps: []step{
			{want: span{1, 1}}, {rtt, 1, span{2, 2}}, {rtt, 2, span{3, 3}}, {rtt, 3, nothing}}},
		{name: "a size that is a multiple of the block ends with an empty one", terms: plain, size: 1000, steps: []step{
			{want: span{1, 1}}, {rtt, 1, span{2, 2}}, {rtt, 2, nothing}}},
		{name: "an ACK that comes twice causes nothing", terms: plain, size: 9000, steps: []step{
			{want: span{1, 1}}, {rtt, 1, span{2, 2}}, {rtt, 1, nothing}, {0, 1, nothing}, {0, 2, span{3, 3}}}},
		{name: "an ACK of what was not sent causes nothing", terms: plain, size: 9000, steps: []step{
			{want: span{1, 1}}, {rtt, 2, nothing}, {0, 1, span{2, 2}}}},
		{name: "a lost block is sent again soon", terms: plain, size: 9000, steps: []step{
			{want: span{1, 1}}, {rtt, 1, span{2, 2}}, {12 * time.Millisecond, -1, span{2, 2}}}},
		{name: "windows", terms: windows, size: 9500, steps: []step{
			{want: span{0, 0}}, {rtt, 0, span{1, 4}}, {rtt, 4, span{5, 8}}, {rtt, 8, span{9, 10}}, {rtt, 10, nothing}}},
		{name: "a gap", terms: windows, size: 9500, steps: []step{
			{want: span{0, 0}}, {rtt, 0, span{1, 4}}, {rtt, 2, span{3, 6}}}},
		{name: "a gap at the start of a window, named by each block behind it", terms: windows, size: 9500, steps: []step{
			{want: span{0, 0}}, {rtt, 0, span{1, 4}}, {rtt, 0, span{1, 4}}, {0, 0, nothing}, {rtt, 0, nothing}}},
		{name: "an ACK that is older than the window only makes room", terms: windows, size: 9500, steps: []step{
			{want: span{0, 0}}, {rtt, 0, span{1, 4}}, {rtt, 1, span{2, 5}}, {rtt / 4, 2, span{6, 6}}, {rtt, 6, span{7, 10}}}},
		{name: "the last block of a window is lost", terms: windows, size: 9500, steps: []step{
			{want: span{0, 0}}, {rtt, 0, span{1, 4}}, {rtt, 4, span{5, 8}}, {12 * time.Millisecond, -1, span{8, 8}}, {rtt, 8, span{9, 10}}}},
		{name: "the first data gets more time", terms: windows, size: 9500, steps: []step{
			{want: span{0, 0}}, {rtt, 0, span{1, 4}}, {100 * time.Millisecond, -1, span{4, 4}}}},
		{name: "no end of a window arrives: the blocks are spread", terms: wide, size: 59500, steps: []step{
			{want: span{0, 0}}, {rtt, 0, span{1, 8}}, {100 * time.Millisecond, -1, span{8, 8}}, {rtt, 6, span{7, 14}},
			{100 * time.Millisecond, -1, span{7, 14}}, {rtt, 12, span{13, 20}},
			{100 * time.Millisecond, -1, span{13, 20}}, {rtt, 18, span{19, 26}},
			{100 * time.Millisecond, -1, span{19, 20}}, {time.Millisecond, -1, span{21, 22}}, {time.Millisecond, -1, span{23, 24}},
			{time.Millisecond, -1, span{25, 26}}, {rtt, 26, span{27, 28}}}},
		{name: "nothing arrives for longer", terms: windows, size: 19500, steps: []step{
			{want: span{0, 0}}, {rtt, 0, span{1, 4}}, {rtt, 4, span{5, 8}}, {12 * time.Millisecond, -1, span{8, 8}},
			{24 * time.Millisecond, -1, span{5, 12}}, {rtt, 12, span{13, 16}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, now := newSender(tt.size, tt.terms), epoch
			for i, st := range tt.steps {
				now = now.Add(st.after)
				var got span
				switch {
				case i == 0:
					got = s.begin(now)
				case st.ack >= 0:
					got = s.ack(now, uint16(st.ack))
				case now.Before(s.deadline()):
					t.Fatalf("step %d: the deadline is %v later", i, s.deadline().Sub(now))
				default:
					got = s.late(now)
				}
				if got != st.want {
					t.Fatalf("step %d: sends %v, want %v", i, got, st.want)
				}
				s.sent(now)
			}
		})
	}
}

// More than 65535 blocks, with windows across the rollover and loss at it.
func TestRollover(t *testing.T) {
	for _, window := range []int{1, 64} {
		s := newSimulation(0, window, clients[0], cable(0.001), 1)
		s.sender.blocks = 140_000
		if _, err := s.run(time.Hour); err != nil {
			t.Errorf("window %d: %v", window, err)
		}
	}
}
