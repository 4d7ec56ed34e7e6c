package dhcp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"tench/pxe/event"
)

// Server is the DHCP side of a netboot server.
type Server struct {
	opts    Options
	mode    Mode
	core    *core       // nil in foreign mode, like all below
	sockets []*socket   // ports 67 and 4011
	watcher *watcher    // hears other servers
	advert  *advertiser // nil where there is none
	others  others
	found   []Found // at the start
}

// Listen opens what the mode needs, looks for other servers, and chooses what
// Auto means. Full mode is refused where another server answers. It takes
// Options.ProbeWait when nobody does.
//
// It needs CAP_NET_BIND_SERVICE and CAP_NET_RAW; foreign mode needs nothing.
func Listen(ctx context.Context, o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("dhcp: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.ProbeEvery == 0 {
		o.ProbeEvery = probeEvery
	}
	s := &Server{opts: o, mode: o.Mode}
	if s.mode == Foreign {
		return s, nil
	}
	if err := s.open(ctx); err != nil {
		s.close()
		return nil, fmt.Errorf("dhcp: %s: %w", o.Interface.Name, err)
	}
	return s, nil
}

// open opens the sockets, and closes them again where Auto means Foreign.
func (s *Server) open(ctx context.Context) error {
	o := s.opts
	for _, port := range []uint16{serverPort, bootPort} {
		l, err := listen(ctx, o.Interface, port)
		if err != nil {
			return err
		}
		s.sockets = append(s.sockets, l)
	}
	var err error
	if s.watcher, err = watch(o.Interface); err != nil {
		return err
	}
	if s.found, err = s.watcher.probe(ctx, o.ProbeWait, o.Random); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if s.mode, err = choose(o.Mode, o.Server.Addr(), s.found); err != nil {
		return err
	}
	if s.mode == Foreign {
		s.close()
		return nil
	}
	s.others = others{mode: s.mode, server: o.Server, heard: map[netip.Addr]time.Time{}}
	s.core = &core{
		mode: s.mode, server: o.Server, decide: o.Decide, limit: newLimiter(),
		near: func() map[netip.Addr]neighbour { return neighbours(o.Interface.Index) },
	}
	if s.mode != Full {
		return nil
	}
	if s.core.pool, err = newPool(o.Server); err != nil {
		return err
	}
	if s.advert, err = newAdvertiser(ctx, o.Interface); err != nil {
		s.trouble("no router advertisement, so that iPXE waits 13 s longer: %v", err)
	}
	return nil
}

// Close closes the sockets of a server that is not to be served.
func (s *Server) Close() { s.close() }

func (s *Server) close() {
	for _, l := range s.sockets {
		l.conn.Close()
	}
	if s.watcher != nil {
		s.watcher.Close()
	}
	if s.advert != nil {
		s.advert.conn.Close()
	}
}

// Mode is the mode that was chosen; never Auto.
func (s *Server) Mode() Mode { return s.mode }

// MAC says who has an address: by our leases, also those that are over, or else
// by the kernel's neighbour table of the interface. Anybody may call it.
func (s *Server) MAC(a netip.Addr) (event.MAC, bool) {
	a = a.Unmap()
	if s.core != nil && s.core.pool != nil {
		if mac, ok := s.core.pool.owner(a); ok {
			return mac, true
		}
	}
	n, ok := neighbours(s.opts.Interface.Index)[a]
	return n.mac, ok
}

// Serve answers until ctx ends, which is no error. In foreign mode it does
// nothing until then. It closes the sockets.
func (s *Server) Serve(ctx context.Context) error {
	s.say(event.Serving, s.serving())
	if s.core == nil {
		<-ctx.Done()
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	packets, heard, plugged := make(chan packet, 64), make(chan Found, 16), make(chan struct{}, 1)
	for _, l := range s.sockets {
		wg.Go(func() { cancel(pump(ctx, l.receive, packets)) })
	}
	wg.Go(func() { cancel(pump(ctx, s.watcher.hear, heard)) })
	wg.Go(func() { cancel(watchCarrier(ctx, s.opts.Interface.Index, plugged)) })
	if s.advert != nil {
		wg.Go(func() { cancel(s.advert.serve(s.opts.Now, s.opts.Sink)) })
	}
	for _, f := range s.found {
		s.hear(f)
	}
	if s.mode == Proxy && len(s.found) == 0 {
		s.trouble("nobody gives addresses: is the other DHCP server on?\nhint: --mode full gives them itself")
	}
	s.loop(ctx, inputs{packets, heard, plugged})
	s.close()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("dhcp: %s: serve: %w", s.opts.Interface.Name, err)
	}
	return nil
}

// pump passes what comes in on, until next fails or ctx ends.
func pump[T any](ctx context.Context, next func() (T, error), to chan<- T) error {
	for {
		v, err := next()
		if err != nil {
			return err
		}
		select {
		case to <- v:
		case <-ctx.Done():
			return nil
		}
	}
}

// inputs are what the loop acts on.
type inputs struct {
	packets <-chan packet   // from clients
	heard   <-chan Found    // other servers' messages
	plugged <-chan struct{} // the cable was plugged in
}

// loop owns the core and what is known of others.
func (s *Server) loop(ctx context.Context, in inputs) {
	ask := time.NewTicker(s.opts.ProbeEvery)
	defer ask.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-in.heard:
			s.hear(f)
		case <-ask.C:
			s.ask()
		case <-in.plugged:
			s.ask()
		case p := <-in.packets:
			s.act(p, s.core.receive(p, s.opts.Now()))
		}
	}
}

// ask asks for other servers. Their answers are heard.
func (s *Server) ask() {
	if err := s.watcher.ask(s.opts.Random); err != nil {
		s.trouble("probe for other servers: %v", err)
	}
}

// act does what the core wants.
func (s *Server) act(p packet, out outcome) {
	for _, e := range out.events {
		s.opts.Sink.Send(e)
	}
	if out.other.IsValid() {
		s.hear(Found{Server: out.other})
	}
	self := s.opts.Server.Addr()
	if out.look.IsValid() {
		// To the discard port. Whether it arrives is all the same: the kernel has to
		// find out whose address it is.
		_ = s.sockets[0].send(nil, self, netip.AddrPortFrom(out.look, 9))
	}
	if out.reply != nil {
		for _, l := range s.sockets {
			if l.port != p.port {
				continue
			}
			if err := l.send(out.reply, self, out.to); err != nil {
				s.trouble("send to %v: %v", out.to, err)
			}
		}
	}
}

// hear notes another server.
func (s *Server) hear(f Found) {
	if e, news := s.others.hear(f, s.opts.Now()); news {
		s.opts.Sink.Send(e)
	}
}

// serving says what we do.
func (s *Server) serving() string {
	name, self := s.opts.Interface.Name, s.opts.Server.Addr()
	switch s.mode {
	case Full:
		a := s.core.pool.addrs
		return fmt.Sprintf("DHCP on %s: addresses %v to %v, for %v", name, a[0], a[len(a)-1], leaseTime)
	case Proxy:
		return fmt.Sprintf("proxy DHCP on %s, beside the server that gives addresses", name)
	}
	return fmt.Sprintf("no DHCP on %s: the server that gives addresses has to name %v as the next server", name, self)
}

func (s *Server) trouble(format string, args ...any) {
	s.say(event.Trouble, fmt.Sprintf("dhcp: %s: %s", s.opts.Interface.Name, fmt.Sprintf(format, args...)))
}

func (s *Server) say(kind event.Kind, text string) {
	s.opts.Sink.Send(event.Event{Time: s.opts.Now(), Kind: kind, Text: text})
}
