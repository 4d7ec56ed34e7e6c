package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/internal/slottest"
)

// sumsOf hashes the blocks of a slot by way of the wire.
func sumsOf(t *testing.T, slot []byte) []Sum {
	t.Helper()
	var wire bytes.Buffer
	if err := NewConn(nil, &wire).SendSums(bytes.NewReader(slot), int64(len(slot))); err != nil {
		t.Fatal(err)
	}
	c := NewConn(&wire, nil)
	var list []Sum
	for {
		m, err := c.Expect(Sums)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Body) == 0 {
			return list
		}
		if list, err = AppendSums(list, m.Body); err != nil {
			t.Fatal(err)
		}
	}
}

// sent sends the image and returns what the other side reads, and the bytes on
// the line.
func sent(t *testing.T, image []byte, ops []Op, running, target []byte) ([]byte, int64) {
	t.Helper()
	var wire bytes.Buffer
	if err := NewConn(nil, &wire).SendImage(context.Background(), image, ops, nil); err != nil {
		t.Fatal(err)
	}
	n := int64(wire.Len())
	r := &Image{Conn: NewConn(&wire, nil), Size: int64(len(image)), Running: bytes.NewReader(running), Target: bytes.NewReader(target)}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return got, n
}

// Whatever the slots hold, the box reads the image that the desk has, and the
// line carries as many bytes as was announced.
func TestPlanIsRight(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 0))
		image := slottest.New("b", "2", int64(seed+1), 1+r.IntN(80_000), 1+r.IntN(80_000)).Bytes()
		running, target := changed(r, image), changed(r, image)
		ops := Plan(image, Have{Running: sumsOf(t, running), Target: sumsOf(t, target)})
		got, n := sent(t, image, ops, running, target)
		if !bytes.Equal(got, image) {
			t.Errorf("seed %d: the box reads another image", seed)
		}
		if n != Cost(ops) {
			t.Errorf("seed %d: %d bytes on the line, Cost = %d", seed, n, Cost(ops))
		}
		at := 0
		for _, op := range ops {
			if op.Offset != at || op.Length <= 0 || op.Kind == Keep && op.Offset < blockSize {
				t.Errorf("seed %d: op %+v at %d", seed, op, at)
			}
			at += op.Length
		}
	}
}

// changed is an image in which chance replaced, put in and took out bytes; whole
// blocks of it.
func changed(r *rand.Rand, image []byte) []byte {
	b := bytes.Clone(image)
	for range r.IntN(5) {
		at, n := r.IntN(len(b)), 1+r.IntN(9000)
		switch r.IntN(3) {
		case 0:
			for i := at; i < min(len(b), at+n); i++ {
				b[i] ^= 0xff
			}
		case 1:
			b = slices.Insert(b, at, make([]byte, n)...)
		case 2:
			b = slices.Delete(b, at, min(len(b), at+n))
		}
	}
	return append(b, make([]byte, (blockSize-len(b)%blockSize)%blockSize)...)
}

func TestCost(t *testing.T) {
	image := slottest.New("b", "1", 1, 400_000, 400_000)
	grown := image
	grown.Kernel = append(slices.Clone(image.Kernel), bytes.Repeat([]byte("new"), 1000)...)
	other := slottest.New("b", "1", 2, 400_000, 400_000)
	for name, tc := range map[string]struct {
		running, target slottest.Image
		want            int64 // at most
	}{
		"the same image":                {running: image, target: other, want: 5500},
		"the same, and in both":         {running: image, target: image, want: 5000},
		"a kernel that grew":            {running: grown, target: other, want: 13_000},
		"only the initramfs is another": {running: slottest.Image{Board: "b", Release: "1", Epoch: 1, Kernel: image.Kernel, Ramfs: other.Ramfs}, target: other, want: 410_000},
		"nothing alike":                 {running: other, target: other, want: 810_000},
	} {
		ops := Plan(image.Bytes(), Have{Running: sumsOf(t, tc.running.Bytes()), Target: sumsOf(t, tc.target.Bytes())})
		if got := Cost(ops); got > tc.want {
			t.Errorf("%s: %d bytes are sent, want at most %d", name, got, tc.want)
		}
	}
}

func TestWholeGoesOnWhereItStopped(t *testing.T) {
	image := slottest.New("b", "1", 1, 100_000, 100_000).Bytes()
	const there = 20 * blockSize
	target := make([]byte, len(image))
	copy(target[blockSize:there], image[blockSize:])
	ops := Whole(image, there)
	got, n := sent(t, image, ops, nil, target)
	if !bytes.Equal(got, image) {
		t.Error("the box reads another image")
	}
	if all := Cost(Whole(image, 0)); n > all-(there-blockSize)/3 {
		t.Errorf("%d bytes were sent, %d without what was there", n, all)
	}
}

func TestMessagesThereAndBack(t *testing.T) {
	hello := HelloBody{Version: Version, Board: "apu2", Running: "a", Target: "b", Size: 8192, Release: "2026.11", Epoch: 7, Least: 8,
		Keys: []string{"k\n"}, Partial: Partial{strings.Repeat("0a", 32), 4096}}
	offer := OfferBody{Ticket: "untrusted\n", Size: 4096}
	step, done := StepBody{"read", 1, 2}, DoneBody{"b", "2026.12", 9, true}
	var wire bytes.Buffer
	out := NewConn(nil, &wire)
	for _, m := range []Message{HelloMessage(hello), OfferMessage(offer), StepMessage(step), DoneMessage(done), AskMessage("a"), {Kind: End},
		FailMessage(errors.New("no: \x1b[2J\nhint: yes"))} {
		if err := out.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	in := NewConn(&wire, nil)
	next := func() Message {
		m, err := in.Receive()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	h, err1 := ParseHello(next())
	o, err2 := ParseOffer(next())
	s, err3 := ParseStep(next())
	d, err4 := ParseDone(next())
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{hello, offer, step, done}, []any{h, o, s, d}); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Message{{Ask, []byte("a")}, {End, []byte{}}}, []Message{next(), next()}); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if _, err := in.Receive(); !errors.Is(err, ErrFailed) || err.Error() != "no: ?[2J\nhint: yes" {
		t.Errorf("the error of Fail is %q", err)
	}
	if _, err := in.Receive(); err == nil || err.Error() != "transfer: the line broke: it ended" {
		t.Errorf("at the end: %v", err)
	}
}

func TestBodiesRefused(t *testing.T) {
	good := `"version":1,"board":"b","release":"r","running":"a","target":"b","size":4096`
	for body, want := range map[string]string{
		`{`:                                "transfer: hello: unexpected EOF",
		`{` + good + `}{}`:                 "transfer: hello: more than one value",
		`{"version":2,"release":"2027.1"}`: "transfer: hello: the box speaks version 2 of the protocol, this tench 1\nhint: use the tench of the release that runs on the box, \"2027.1\"",
		`{` + strings.Replace(good, `"b"`, `"\u001b"`, 1) + `}`:              `transfer: hello: "\x1b" is no name of a board or a release`,
		`{` + strings.Replace(good, `"target":"b"`, `"target":"a"`, 1) + `}`: `transfer: hello: slot "a" runs and slot "a" is written`,
		`{` + strings.Replace(good, `4096`, `4097`, 1) + `}`:                 "transfer: hello: a size of 4097 bytes: it must be whole blocks of 4096, at most 536870912",
		`{` + good + `,"partial":{"sha256":"x","bytes":1}}`:                  `transfer: hello: 1 bytes of update "x" are in the slot`,
	} {
		if _, err := ParseHello(Message{Hello, []byte(body)}); err == nil || err.Error() != want {
			t.Errorf("ParseHello(%s): error %v\nwant %s", body, err, want)
		}
	}
	for name, err := range map[string]error{
		"a step of less than nothing":  second(ParseStep(Message{Step, []byte(`{"done":-1}`)})),
		"a step beyond its end":        second(ParseStep(Message{Step, []byte(`{"done":2,"total":1}`)})),
		"done in no slot":              second(ParseDone(Message{Done, []byte(`{"slot":"c","release":"r"}`)})),
		"an offer of no size":          second(ParseOffer(Message{Offer, []byte(`{"size":0}`)})),
		"an offer larger than a slot":  second(ParseOffer(Message{Offer, []byte(`{"size":1099511627776}`)})),
		"hashes that are no whole one": second(AppendSums(nil, make([]byte, 13))),
		"hashes of too many blocks":    second(AppendSums(make([]Sum, maxBlock), make([]byte, 12))),
	} {
		if err == nil {
			t.Errorf("%s is no error", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// What the desk sends after its offer may be wrong in many ways; the box writes
// no byte more than was offered, and never hangs.
func TestImageRefuses(t *testing.T) {
	data := func(n int) Message { return Message{Data, make([]byte, n)} }
	for name, tc := range map[string]struct {
		messages []Message
		want     string
	}{
		"it ends early":          {[]Message{data(4096), {Kind: End}}, "transfer: the image ends after 4096 of 8192 bytes"},
		"the line ends":          {[]Message{data(4096)}, "transfer: the line broke: it ended"},
		"too many bytes":         {[]Message{data(8192), data(1)}, "transfer: the image is longer than the 8192 bytes that were offered"},
		"too many zeros":         {[]Message{Range{0, 3}.message(Zero)}, "transfer: the image is longer than the 8192 bytes that were offered"},
		"blocks that are not":    {[]Message{Range{9, 1}.message(Copy)}, "transfer: blocks beyond the end of the slot"},
		"blocks beyond any slot": {[]Message{Range{maxBlock, 1}.message(Copy)}, "transfer: range of 1 blocks from 131072, beyond 131072"},
		"no blocks":              {[]Message{Range{0, 0}.message(Keep)}, "transfer: range of 0 blocks from 0, beyond 131072"},
		"half a range":           {[]Message{{Copy, make([]byte, 4)}}, "transfer: range of 4 bytes, want 8"},
		"no data":                {[]Message{data(0)}, "transfer: data of no bytes"},
		"an offer in between":    {[]Message{OfferMessage(OfferBody{})}, "transfer: message of kind 'O' within the image"},
		"the box's own words":    {[]Message{HelloMessage(HelloBody{})}, "transfer: message of kind 'h' within the image"},
	} {
		var wire bytes.Buffer
		c := NewConn(nil, &wire)
		for _, m := range tc.messages {
			if err := c.Send(m); err != nil {
				t.Fatal(err)
			}
		}
		slot := bytes.NewReader(make([]byte, 8192))
		got, err := io.ReadAll(&Image{Conn: NewConn(&wire, nil), Size: 8192, Running: slot, Target: slot})
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s: error %v\nwant %s", name, err, tc.want)
		}
		if len(got) > 8192 {
			t.Errorf("%s: %d bytes were read", name, len(got))
		}
	}
}

func TestHeadersRefused(t *testing.T) {
	for header, want := range map[[headerSize]byte]string{
		{'?'}:                     "transfer: message of kind '?', which is not known\nhint: are both sides of the same release, and does nothing else print on this line?",
		{'D', 0xff, 0, 0, 0}:      "transfer: message of kind 'D' with 4278190080 bytes, more than 65536",
		{'E', 0, 0, 0, 1}:         "transfer: message of kind 'E' with 1 bytes, more than 0",
		{'W', 'e', 'l', 'c', 'o'}: "transfer: message of kind 'W', which is not known\nhint: are both sides of the same release, and does nothing else print on this line?",
	} {
		if _, err := NewConn(bytes.NewReader(header[:]), nil).Receive(); err == nil || err.Error() != want {
			t.Errorf("header %q: error %v\nwant %s", header, err, want)
		}
	}
}

func TestBrokenLine(t *testing.T) {
	broken := errors.New("broken")
	c := NewConn(nil, writerFunc(func([]byte) (int, error) { return 0, broken }))
	if err := c.Send(Message{Kind: End}); !errors.Is(err, broken) {
		t.Errorf("Send: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := NewConn(nil, io.Discard).SendImage(ctx, nil, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("SendImage: %v", err)
	}
	if err := c.SendSums(bytes.NewReader(nil), 4096); err == nil {
		t.Error("SendSums of a slot that is shorter gives no error")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Anything may come over the line, to either side.
func FuzzReceive(f *testing.F) {
	for _, m := range []Message{HelloMessage(HelloBody{Version: 1}), OfferMessage(OfferBody{Size: 4096}), {Kind: End}, {Sums, make([]byte, 24)},
		{Data, []byte("x")}, Range{1, 2}.message(Copy), Range{0, 1}.message(Zero), StepMessage(StepBody{Text: "x"}), DoneMessage(DoneBody{Slot: "a"})} {
		f.Add(m.Append(nil))
	}
	f.Add([]byte("Welcome to Debian"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		c := NewConn(bytes.NewReader(wire), nil)
		read := 0
		for {
			m, err := c.Receive()
			if err != nil {
				break
			}
			if len(m.Body) > limits[m.Kind] {
				t.Fatalf("a body of %d bytes", len(m.Body))
			}
			again := m.Append(nil)
			if !bytes.Equal(again, wire[read:read+len(again)]) {
				t.Fatalf("%+v is not what came", m)
			}
			read += len(again)
			_, _ = ParseHello(m)
			_, _ = ParseOffer(m)
			_, _ = ParseStep(m)
			_, _ = ParseDone(m)
			_, _ = AppendSums(nil, m.Body)
		}
	})
}

// Whatever comes as an image, no more is read than was offered.
func FuzzImage(f *testing.F) {
	f.Add(Message{Data, make([]byte, 100)}.Append(nil))
	f.Add(Range{0, 2}.message(Keep).Append(Message{Kind: End}.Append(nil)))
	f.Add(Range{1, 1}.message(Copy).Append(Range{0, 1}.message(Zero).Append(nil)))
	f.Fuzz(func(t *testing.T, wire []byte) {
		slot := bytes.NewReader(make([]byte, 16384))
		got, err := io.ReadAll(&Image{Conn: NewConn(bytes.NewReader(wire), nil), Size: 8192, Running: slot, Target: slot})
		if len(got) > 8192 || err == nil && len(got) != 8192 {
			t.Errorf("%d bytes, error %v", len(got), err)
		}
	})
}

func BenchmarkPlan(b *testing.B) {
	image := slottest.New("b", "1", 1, 8<<20, 4<<20).Bytes()
	var have Have
	for at := 0; at < len(image); at += blockSize {
		have.Running = append(have.Running, sumOf(image[at:at+blockSize]))
	}
	other := slottest.New("b", "2", 2, 8<<20, 4<<20).Bytes()
	b.SetBytes(int64(len(other)))
	for b.Loop() {
		if ops := Plan(other, have); len(ops) == 0 {
			b.Fatal("nothing is planned")
		}
	}
}
