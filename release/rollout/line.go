package rollout

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"tench/release/transfer"
)

// Sizes of the probes that measure a line, in bytes: a modem takes four seconds
// for the first, and a line that is quick with it gets the second.
const (
	smallProbe = 32 << 10
	largeProbe = 512 << 10
)

const (
	// quick is the time below which the large probe is worth it.
	quick = 200 * time.Millisecond
	// patient is how long the whole image may take before the box is asked what of
	// it is there already, which costs a slow one some seconds of hashing.
	patient = 20 * time.Second
)

// measure finds out how many bytes a second the line takes.
func (s *session) measure() (float64, error) {
	trip, err := s.probe(1)
	if err != nil {
		return 0, err
	}
	size := smallProbe
	took, err := s.probe(size)
	if err == nil && took-trip < quick {
		size = largeProbe
		took, err = s.probe(size)
	}
	return float64(size) / max(took-trip, time.Millisecond).Seconds(), err
}

func (s *session) probe(size int) (time.Duration, error) {
	began := s.o.Now()
	if err := s.conn.Send(transfer.Message{Kind: transfer.Probe, Body: make([]byte, size)}); err != nil {
		return 0, err
	}
	_, err := s.expect(transfer.Pong)
	return s.o.Now().Sub(began), err
}

// choose decides what to send: everything but what a broken update left, or,
// where that would take long, what the box does not have.
func (s *session) choose() ([]transfer.Op, error) {
	s.o.Report.Start(s.host, "measure the line")
	speed, err := s.measure()
	if err != nil {
		return nil, err
	}
	there := int64(0)
	if s.hello.Partial.SHA256 == s.image.SHA256 {
		there = s.hello.Partial.Bytes
	}
	ops := transfer.Whole(s.image.Data, there)
	if duration(transfer.Cost(ops), speed) > patient {
		s.o.Report.Start(s.host, "ask what is there already")
		have, err := s.have()
		if err != nil {
			return nil, err
		}
		if delta := transfer.Plan(s.image.Data, have); transfer.Cost(delta) < transfer.Cost(ops) {
			ops = delta
		}
	}
	if len(s.hello.Unwell) > 0 {
		s.o.Report.Note(s.host, "not healthy now: "+transfer.Plain(strings.Join(s.hello.Unwell, "; "))+unwellHint)
	}
	s.o.Report.Note(s.host, announce(transfer.Cost(ops), int64(len(s.image.Data)), speed))
	return ops, nil
}

// unwellHint follows what keeps a box from being healthy before it is updated.
const unwellHint = "\nhint: if that stays so, the box falls back after its tries; a line that may be down goes to optional in [health]"

// have asks for the hashes of both slots.
func (s *session) have() (have transfer.Have, err error) {
	if have.Running, err = s.sums(s.hello.Running); err == nil {
		have.Target, err = s.sums(s.hello.Target)
	}
	return have, err
}

func (s *session) sums(slot string) ([]transfer.Sum, error) {
	if err := s.conn.Send(transfer.AskMessage(slot)); err != nil {
		return nil, err
	}
	var list []transfer.Sum
	for {
		m, err := s.expect(transfer.Sums)
		if err != nil || len(m.Body) == 0 {
			return list, err
		}
		if list, err = transfer.AppendSums(list, m.Body); err != nil {
			return nil, err
		}
	}
}

func duration(bytes int64, speed float64) time.Duration {
	return time.Duration(float64(bytes) / speed * float64(time.Second))
}

// announce says what is coming, e.g. "1.9 MB to send of 13 MB, about 4 min at 64
// kbit/s".
func announce(cost, size int64, speed float64) string {
	text := humanize.Bytes(uint64(cost)) + " to send"
	if cost < size {
		text += " of " + humanize.Bytes(uint64(size))
	}
	return text + ", about " + about(duration(cost, speed)) + " at " + bitRate(speed)
}

// about is a duration as people say it.
func about(d time.Duration) string {
	switch {
	case d < 2*time.Second:
		return "a second"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f hours", d.Hours())
}

// bitRate is a speed as lines are sold, e.g. "64 kbit/s".
func bitRate(bytesPerSecond float64) string {
	rate, unit := bytesPerSecond*8, "bit/s"
	for _, u := range []string{"kbit/s", "Mbit/s", "Gbit/s"} {
		if rate < 1000 {
			break
		}
		rate, unit = rate/1000, u
	}
	if rate >= 10 {
		return fmt.Sprintf("%.0f %s", rate, unit)
	}
	return fmt.Sprintf("%.1f %s", rate, unit)
}
