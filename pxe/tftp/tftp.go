// Package tftp is the TFTP server of `tench pxe`: read only, for boot ROMs and
// boot loaders (RFC 1350 with the options of RFC 2347, 2348, 2349 and 7440).
//
//	tftp.go          Options, Serve: one goroutine owns who is served
//	packet.go        requests, ACKs, ERRORs
//	name.go          names of files that stay below what is served
//	terms.go         which options are granted
//	gate.go          what a client may have
//	transfer.go      one transfer: its port, its file, its events
//	volley.go        a window's packets, and the file, in few system calls
//	sender.go        what is sent when: the automaton, without socket and clock
//	hurry.go         windows before the last was heard of, where many are cut short
//	rtt.go           how long a client takes to answer, RFC 6298
//	text.go          netascii
//	client.go        Client: fetching a file, for `tench pxe selftest` and tests
//	socket_linux.go  ports bound to a device
//	port_linux.go    the system calls of a transfer
//	wait_linux.go    two ways to wait for them
//
// The client and the coding of netascii are github.com/pin/tftp's; what the
// server sends is ours. pin's server knows neither windowsize nor timeout, waits
// seconds for a lost packet, answers an ERROR with an ERROR (which breaks
// OpenBSD's loader, who asks again from the same port), tells its peers the text
// of any error, and opens its ports on all interfaces. None of that can be set
// from outside, or only in its mode with a single port, at a tenth of the speed.
//
// Where we deviate: a size probe and the other ERRORs by which loaders end what
// they do not want are no failures; a request that comes twice has one transfer;
// blksize is granted up to what the interface takes in one packet; a window may
// be sent again before its acknowledgement, see sender.
package tftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"tench/pxe/event"
)

// File is what is sent. Its content must not change.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// Options are how to serve. Open is necessary.
type Options struct {
	// Open finds what client calls name. The name has no leading slash and
	// satisfies fs.ValidPath, e.g. "etc/boot.conf". An fs.ErrNotExist is told the
	// client as it is, and an fs.ErrPermission; any other error is also trouble for
	// the operator. No client is told the text of an error. Open may be called by
	// many at once.
	Open func(client netip.AddrPort, name string) (File, error)
	// Sink hears of transfers, probes, missing and refused files; nil: nobody does.
	Sink event.Sink
	// Device is the interface that transfers' ports are bound to (SO_BINDTODEVICE);
	// "": they are bound to the address only.
	Device string
	// MTU of the interface in bytes; 0: 1500. It bounds what blksize is granted.
	MTU int
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// server is one call of Serve. Its loop owns live, threads and gate.
type server struct {
	Options
	conn    net.PacketConn
	at      *net.UDPAddr // what conn is bound to
	largest int          // bytes of a block

	live    map[netip.AddrPort]*transfer // the newest of each port
	threads int                          // transfers that have one
	gate    *gate
	ended   chan *transfer
	wg      sync.WaitGroup // transfers
}

// Serve answers what comes to conn, a UDP socket that is bound to port 69 of the
// address to serve on, until ctx is done; then it ends all transfers and returns
// nil. An error is one of conn. Serve does not close it.
func Serve(ctx context.Context, conn net.PacketConn, o Options) error {
	at, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return fmt.Errorf("tftp: serve on %v: not a UDP socket", conn.LocalAddr())
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MTU == 0 {
		o.MTU = 1500
	}
	s := &server{
		Options: o, conn: conn, at: at, largest: largestBlock(o.MTU, at.IP.To4() == nil),
		live: map[netip.AddrPort]*transfer{}, gate: newGate(), ended: make(chan *transfer),
	}
	return s.run(ctx)
}

// arrival is a request, and who sent it.
type arrival struct {
	client  netip.AddrPort
	request request
	err     error // errMalformed
}

// run is the loop.
func (s *server) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	arrivals := make(chan arrival)
	broken := make(chan error, 1)
	go func() { broken <- s.receive(ctx, arrivals) }()
	var err error
	for ctx.Err() == nil {
		select {
		case a := <-arrivals:
			s.arrive(ctx, a)
		case t := <-s.ended:
			s.end(t)
		case err = <-broken:
			broken <- nil
			cancel()
		case <-ctx.Done():
		}
	}
	cancel()
	s.conn.SetReadDeadline(time.Unix(1, 0)) // receive returns
	<-broken
	s.conn.SetReadDeadline(time.Time{})
	go func() { s.wg.Wait(); close(s.ended) }()
	for t := range s.ended {
		s.end(t)
	}
	return err
}

// receive reads requests until ctx is done or the socket breaks.
func (s *server) receive(ctx context.Context, arrivals chan<- arrival) error {
	p := make([]byte, 2048)
	for {
		n, from, err := s.conn.ReadFrom(p)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tftp: receive: %w", err)
		}
		udp, ok := from.(*net.UDPAddr)
		if !ok || udp.Port == 0 {
			continue
		}
		a := arrival{client: unmapped(udp.AddrPort())}
		if a.request, a.err = parseRequest(p[:n]); errors.Is(a.err, errNoRequest) {
			continue
		}
		select {
		case arrivals <- a:
		case <-ctx.Done():
			return nil
		}
	}
}

// unmapped is addr without the IPv6 form of an IPv4 address.
func unmapped(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// arrive decides about a request.
func (s *server) arrive(ctx context.Context, a arrival) {
	if reason, ok := s.gate.enter(a.client.Addr(), s.Now()); !ok {
		if reason != "" {
			s.say(a, event.Refused, reason)
		}
		return
	}
	old := s.live[a.client]
	if old != nil && !old.heard.Load() && old.request.equal(a.request) {
		// The client did not get what we sent, or the network doubled its request.
		old.remind()
		return
	}
	name, refusal := judge(a)
	if refusal.text != "" {
		s.say(a, event.Refused, refusal.text)
		s.conn.WriteTo(appendError(nil, refusal.code, refusal.text), net.UDPAddrFromAddrPort(a.client))
		return
	}
	conn, err := listen(ctx, s.at, s.Device)
	if err != nil {
		s.say(a, event.Trouble, err.Error())
		return
	}
	thread := s.threads < maxThreads()
	port, err := newPort(conn, a.client, thread)
	if err != nil {
		s.say(a, event.Trouble, err.Error())
		return
	}
	if thread {
		s.threads++
	}
	t := &transfer{server: s, client: a.client, request: a.request, name: name, port: port, thread: thread,
		ahead: readAhead(s.gate.all.transfers + 1), before: old}
	s.live[a.client] = t
	s.gate.begin(a.client.Addr())
	s.wg.Go(func() {
		t.run(ctx)
		s.ended <- t
	})
}

// end forgets a transfer.
func (s *server) end(t *transfer) {
	s.gate.end(t.client.Addr())
	if t.thread {
		s.threads--
	}
	t.before = nil // else a client that asks on and on would keep all of them
	if s.live[t.client] == t {
		delete(s.live, t.client)
	}
}

// refusal is an ERROR that a request deserves; the zero value is none.
type refusal struct {
	code uint16
	text string
}

// judge returns the file that a request is for.
func judge(a arrival) (name string, r refusal) {
	switch {
	case a.err != nil:
		return "", refusal{errorIllegal, "malformed request"}
	case a.request.write:
		return "", refusal{errorAccess, "this server takes no files"}
	case a.request.mode != "octet" && a.request.mode != "netascii":
		return "", refusal{errorIllegal, "unknown transfer mode"}
	}
	name, err := cleanName(a.request.name)
	if err != nil {
		return "", refusal{errorAccess, "access violation"}
	}
	return name, refusal{}
}

// say sends an event about a request.
func (s *server) say(a arrival, kind event.Kind, text string) {
	s.Sink.Send(event.Event{Time: s.Now(), IP: a.client.Addr(), Kind: kind, File: event.Plain(a.request.name, maxName), Text: text})
}
