package tftp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/event"
)

// tree is files to serve; a nil content may not be read.
type tree map[string][]byte

func (f tree) open(_ netip.AddrPort, name string) (File, error) {
	content, ok := f[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("/srv/secret/%s: %w", name, fs.ErrNotExist)
	case content == nil:
		return nil, fmt.Errorf("/srv/secret/%s: %w", name, fs.ErrPermission)
	case name == "broken":
		return nil, errors.New("/srv/secret/broken: input/output error")
	}
	return memory{bytes.NewReader(content)}, nil
}

// content is n bytes that repeat nowhere near.
func content(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(p)
	return p
}

// serving starts a server on loopback for the test. events has all it says; it
// is complete when the server has stopped, which stop does.
func serving(t testing.TB, files tree) (addr netip.AddrPort, events chan event.Event, stop func()) {
	t.Helper()
	return servingBy(t, "127.0.0.1:0", files.open)
}

func servingBy(t testing.TB, at string, open func(netip.AddrPort, string) (File, error)) (addr netip.AddrPort, events chan event.Event, stop func()) {
	t.Helper()
	conn, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	events = make(chan event.Event, 10000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Serve(ctx, conn, Options{Open: open, Sink: func(e event.Event) { events <- e }, MTU: 65536})
		conn.Close()
	}()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		close(events)
	}
	t.Cleanup(stop)
	return conn.LocalAddr().(*net.UDPAddr).AddrPort(), events, stop
}

// peer is a client's socket.
type peer struct {
	*testing.T
	conn   *net.UDPConn
	server netip.AddrPort
	from   netip.AddrPort // who sent what was received last
	seen   map[string]bool
}

func newPeer(t *testing.T, server netip.AddrPort) *peer {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &peer{T: t, conn: conn, server: server, seen: map[string]bool{}}
}

// ask sends a read request to the server's port.
func (p *peer) ask(name string, options ...option) {
	p.Helper()
	p.send(p.server, string(appendRequest(nil, request{name: name, mode: "octet", options: options})))
}

// answer sends to whom the last packet came from.
func (p *peer) answer(packet string) { p.Helper(); p.send(p.from, packet) }

func (p *peer) send(to netip.AddrPort, packet string) {
	p.Helper()
	if _, err := p.conn.WriteToUDPAddrPort([]byte(packet), to); err != nil {
		p.Fatal(err)
	}
}

func ack(block int) string {
	return string(binary.BigEndian.AppendUint16([]byte{0, opACK}, uint16(block)))
}

func data(block int, content []byte) string {
	return string(binary.BigEndian.AppendUint16([]byte{0, opDATA}, uint16(block))) + string(content)
}

// expect receives a packet, and fails the test when it is another one.
func (p *peer) expect(want string) {
	p.Helper()
	if got := string(p.receive(want)); got != want {
		p.Fatalf("got %.60q, want %.60q", got, want)
	}
}

// receive is the next packet that begins with want or that is new: on a busy
// machine this client is slow, and the server sends again.
func (p *peer) receive(want string) []byte {
	p.Helper()
	packet := make([]byte, 70000)
	p.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(packet)
		if err != nil {
			p.Fatalf("waiting for %.60q: %v", want, err)
		}
		key := from.String() + string(packet[:n])
		if old := p.seen[key]; old && !strings.HasPrefix(string(packet[:n]), want) {
			continue
		}
		p.seen[key] = true
		p.from = from
		return packet[:n]
	}
}

// said is what a server says, in short and sorted, because transfers report for
// themselves; without progress, of which a busy machine has more. The server is
// stopped after n events.
func said(t *testing.T, events chan event.Event, stop func(), n int) (list []string) {
	t.Helper()
	note := func(e event.Event) {
		if e.Kind != event.Transfer || e.Done == 0 || e.Done == e.Total {
			list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %d/%d %s", e.Kind, e.File, e.Done, e.Total, e.Text)))
		}
	}
	for len(list) < n {
		select {
		case e := <-events:
			note(e)
		case <-time.After(10 * time.Second):
			t.Fatalf("no more events than %q, want %d", list, n)
		}
	}
	stop()
	for e := range events {
		note(e)
	}
	return sorted(list)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func TestPinsClient(t *testing.T) {
	files := tree{}
	for _, n := range []int{0, 1, 511, 512, 513, 1467, 1468, 1469, 100_000} {
		files[fmt.Sprint(n)] = content(n)
	}
	addr, _, _ := serving(t, files)
	for name, want := range files {
		for _, c := range []Client{{}, {Size: true}, {Block: 1432, Size: true}, {Block: 8192}} {
			c.Server = addr
			var got bytes.Buffer
			n, err := c.Get(t.Context(), "/"+name, &got)
			if err != nil || n != int64(len(want)) || !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%+v gets %d of %s bytes: %v", c, n, name, err)
			}
		}
	}
}

func TestRolloverOnLoopback(t *testing.T) {
	want := content(66_000 * 512)
	addr, _, _ := serving(t, tree{"large": want})
	var got bytes.Buffer
	if _, err := (Client{Server: addr}).Get(t.Context(), "large", &got); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("got %d of %d bytes: %v", got.Len(), len(want), err)
	}
}

func TestNetascii(t *testing.T) {
	addr, events, stop := serving(t, tree{"text": []byte("a\nb\rc")})
	p := newPeer(t, addr)
	p.send(addr, "\x00\x01text\x00NetASCII\x00tsize\x000\x00")
	p.expect("\x00\x06tsize\x007\x00")
	p.answer(ack(0))
	p.expect(data(1, []byte("a\r\nb\r\x00c")))
	p.answer(ack(1))
	want := []string{"transfer text 0/7", "transfer text 7/7"}
	if diff := cmp.Diff(sorted(want), said(t, events, stop, len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct{ name, packet, want, said string }{
		{"missing", "\x00\x01/no/such\x00octet\x00", "\x00\x05\x00\x01file not found\x00", "missing no/such 0/0"},
		{"forbidden", "\x00\x01/forbidden\x00octet\x00", "\x00\x05\x00\x02access violation\x00",
			"refused forbidden 0/0 /srv/secret/forbidden: permission denied"},
		{"unreadable", "\x00\x01broken\x00octet\x00", "\x00\x05\x00\x00the server cannot read this file\x00",
			"trouble broken 0/0 /srv/secret/broken: input/output error"},
		{"to write", "\x00\x02kernel\x00octet\x00", "\x00\x05\x00\x02this server takes no files\x00",
			"refused kernel 0/0 this server takes no files"},
		{"text that is too large", "\x00\x01large\x00netascii\x00", "\x00\x05\x00\x04too large for netascii: ask in octet mode\x00",
			"refused large 0/0 too large for netascii: ask in octet mode"},
		{"as mail", "\x00\x01kernel\x00mail\x00", "\x00\x05\x00\x04unknown transfer mode\x00", "refused kernel 0/0 unknown transfer mode"},
		{"out of the tree", "\x00\x01../../etc/shadow\x00octet\x00", "\x00\x05\x00\x02access violation\x00",
			"refused ../../etc/shadow 0/0 access violation"},
		{"malformed", "\x00\x01kernel\x00octet", "\x00\x05\x00\x04malformed request\x00", "refused  0/0 malformed request"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr, events, stop := serving(t, tree{"kernel": content(10), "forbidden": nil, "broken": content(1), "large": content(maxText + 1)})
			p := newPeer(t, addr)
			p.send(addr, tt.packet)
			p.expect(tt.want)
			if diff := cmp.Diff([]string{tt.said}, said(t, events, stop, 1)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// A server that answers an ERROR, or that answers noise, would do so before it
// answers the request behind.
func TestNoAnswerToErrorsAndNoise(t *testing.T) {
	addr, _, _ := serving(t, tree{"a": content(1)})
	p := newPeer(t, addr)
	for _, noise := range []string{"", "\x00", "\x00\x05\x00\x00x\x00", "\x00\x04\x00\x01", "\x00\x03\x00\x01x", "\x00\x06a\x00b\x00", "\xff\xff\xff\xff"} {
		p.send(addr, noise)
	}
	p.ask("a")
	p.expect(data(1, content(1)))
}

func TestSizeProbe(t *testing.T) {
	kernel := content(3000)
	addr, events, stop := serving(t, tree{"kernel": kernel})
	p := newPeer(t, addr)
	// EDK2: the size first, then the file.
	p.ask("kernel", option{"tsize", "0"}, option{"blksize", "1468"}, option{"windowsize", "4"})
	p.expect("\x00\x06tsize\x003000\x00blksize\x001468\x00windowsize\x004\x00")
	p.answer("\x00\x05\x00\x08User aborted the transfer\x00")
	p = newPeer(t, addr)
	p.ask("kernel", option{"blksize", "1468"}, option{"windowsize", "4"})
	p.expect("\x00\x06blksize\x001468\x00windowsize\x004\x00")
	p.answer(ack(0))
	p.expect(data(1, kernel[:1468]))
	p.expect(data(2, kernel[1468:2936]))
	p.expect(data(3, kernel[2936:]))
	p.answer(ack(3))
	want := []string{"probe kernel 0/3000 error 8: User aborted the transfer", "transfer kernel 0/3000", "transfer kernel 3000/3000"}
	if diff := cmp.Diff(sorted(want), said(t, events, stop, len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWrongTID(t *testing.T) {
	file := content(1000)
	addr, _, _ := serving(t, tree{"file": file})
	p, stranger := newPeer(t, addr), newPeer(t, addr)
	p.ask("file")
	p.expect(data(1, file[:512]))
	stranger.send(p.from, ack(1))
	stranger.expect("\x00\x05\x00\x05unknown transfer\x00")
	stranger.answer("\x00\x05\x00\x00I am sorry\x00") // is not answered, and ends nothing
	p.answer(ack(1))
	p.expect(data(2, file[512:]))
	p.answer(ack(2))
}

func TestRequestThatCameTwice(t *testing.T) {
	file := content(1000)
	addr, events, stop := serving(t, tree{"file": file})
	p := newPeer(t, addr)
	p.ask("file")
	p.expect(data(1, file[:512]))
	first := p.from
	p.ask("file")
	p.expect(data(1, file[:512]))
	if p.from != first {
		t.Errorf("the request that came twice has two transfers, from %v and %v", first, p.from)
	}
	p.answer(ack(1))
	p.expect(data(2, file[512:]))
	// The same request once more, late: the client says that it is served.
	p.ask("file")
	p.expect(data(1, file[:512]))
	p.answer("\x00\x05\x00\x05unknown transfer\x00")
	p.send(first, ack(2))
	want := []string{"transfer file 1000/1000"}
	if diff := cmp.Diff(sorted(want), said(t, events, stop, len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A client that takes no notice of the answer to its second request has lost
// nothing.
func TestRequestThatCameLate(t *testing.T) {
	file := content(1000)
	addr, events, stop := serving(t, tree{"file": file})
	p := newPeer(t, addr)
	p.ask("file")
	p.expect(data(1, file[:512]))
	first := p.from
	p.answer(ack(1))
	p.expect(data(2, file[512:]))
	p.ask("file")
	p.expect(data(1, file[:512]))
	p.send(first, ack(2))
	want := []string{"transfer file 1000/1000"}
	if diff := cmp.Diff(want, said(t, events, stop, len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A client that asks now this, now that, and never answers, leaves nothing behind.
func TestEndedTransfersAreForgotten(t *testing.T) {
	s := &server{live: map[netip.AddrPort]*transfer{}, gate: newGate()}
	client := netip.MustParseAddrPort("192.0.2.2:2070")
	s.gate.enter(client.Addr(), epoch)
	for range 3 * clientTransfers {
		t := &transfer{client: client, before: s.live[client]}
		s.live[client] = t
		s.gate.begin(client.Addr())
		if t.before != nil {
			s.end(t.before)
		}
	}
	chain := 0
	for t := s.live[client]; t != nil; t = t.before {
		chain++
	}
	if chain > 2 {
		t.Errorf("the newest transfer holds %d before it, want 1 at most", chain-1)
	}
}

// cut is a file that has become shorter than it was.
type cut struct{ File }

func (cut) Size() int64 { return 2000 }

func TestFileThatWasCut(t *testing.T) {
	file := content(1000)
	addr, events, stop := servingBy(t, "127.0.0.1:0", func(netip.AddrPort, string) (File, error) {
		return cut{memory{bytes.NewReader(file)}}, nil
	})
	p := newPeer(t, addr)
	p.ask("file")
	p.expect(data(1, file[:512]))
	p.answer(ack(1))
	p.expect("\x00\x05\x00\x00the server cannot read this file\x00")
	want := []string{"trouble file 512/2000 unexpected EOF"}
	if diff := cmp.Diff(want, said(t, events, stop, len(want))); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWindows(t *testing.T) {
	for at, from := range map[string]string{"127.0.0.1:0": "127.0.0.1", "[::1]:0": "::1", "[::]:0": "127.0.0.1"} {
		t.Run(at, func(t *testing.T) {
			if conn, err := net.ListenPacket("udp", at); err != nil {
				t.Skipf("not on this machine: %v", err)
			} else {
				conn.Close()
			}
			want := content(300_000)
			addr, _, _ := servingBy(t, at, tree{"file": want}.open)
			program{name: "u-root", fetch: pxeboot}.check(t, netip.AddrPortFrom(netip.MustParseAddr(from), addr.Port()), "file", want)
		})
	}
}

// A client that forgot its first transfer without a word gets no more of it.
func TestRequestAnewFromTheSamePort(t *testing.T) {
	file := content(2000)
	addr, _, _ := serving(t, tree{"file": file, "other": content(100)})
	p := newPeer(t, addr)
	p.ask("file")
	p.expect(data(1, file[:512]))
	p.answer(ack(1))
	p.expect(data(2, file[512:1024]))
	p.ask("other")
	p.expect(data(1, content(100)))
	p.answer(ack(1))
	p.ask("file")
	p.expect(data(1, file[:512]))
}
