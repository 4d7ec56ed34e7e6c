package web

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limits of a server. The zero value of a field is its default.
type Limits struct {
	Header    time.Duration // to send a request's header; 10 s
	Body      time.Duration // to send its body; 30 s
	Idle      time.Duration // between two requests; 30 s
	PerClient int           // connections of one address; 16
	Total     int           // of all; 1024, and 128 for Desk
	// Desk is for the operator's own callers: browsers, Prometheus and other
	// commands all come from this machine, so that PerClient would be a limit for
	// the lot of them. One beyond Total is answered 503, not closed.
	Desk bool
}

// spare is how many connections beyond Total are told that they are too many.
const spare = 32

func (l Limits) filled() Limits {
	fill := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	fill(&l.Header, 10*time.Second)
	fill(&l.Body, 30*time.Second)
	fill(&l.Idle, 30*time.Second)
	if l.PerClient == 0 {
		l.PerClient = 16
	}
	switch {
	case l.Total != 0:
	case l.Desk:
		l.Total = 128
	default:
		l.Total = 1024
	}
	return l
}

// maxHeader is the bytes of a request's header. Loaders send a few hundred.
const maxHeader = 8 << 10

// Serve answers HTTP on l until ctx ends, and closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, limits Limits) error {
	limits = limits.filled()
	s := &http.Server{
		Handler:           withDeadlines(h, limits.Body),
		ReadHeaderTimeout: limits.Header,
		IdleTimeout:       limits.Idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(io.Discard, "", 0), // what clients do wrong
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, ofConn{}, c) },
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	err := s.Serve(&bounded{Listener: l, limits: limits, of: map[netip.Addr]int{}})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// withDeadlines limits the time of a body, also of one that nobody reads: the
// server does so itself before the next request. A limit of the whole request
// (http.Server's ReadTimeout) would end long answers. The time for an answer begins
// anew with each piece of it, see paced: what a handler does first may take as long
// as it takes, the audit of a release for an arming some minutes.
func withDeadlines(h http.Handler, body time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, now := http.NewResponseController(w), time.Now()
		if r.ContentLength != 0 {
			_ = c.SetReadDeadline(now.Add(body))
		}
		_ = c.SetWriteDeadline(now.Add(stall))
		if conn, ok := r.Context().Value(ofConn{}).(*counted); ok && conn.over {
			w.Header().Set("Connection", "close")
			http.Error(w, "too many connections are open already: close a page, or try again later", http.StatusServiceUnavailable)
			return
		}
		h.ServeHTTP(&paced{ResponseWriter: w}, r)
	})
}

// ofConn is the key of a request's connection in its context.
type ofConn struct{}

// bounded is a listener that closes at once what is too much, or marks it.
type bounded struct {
	net.Listener
	limits Limits

	mu  sync.Mutex
	of  map[netip.Addr]int // connections by client
	all int
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := source(c)
		if taken, over := b.take(from); taken {
			return &counted{Conn: c, over: over, done: func() { b.give(from) }}, nil
		}
		_ = c.Close()
	}
}

// source is a client's address, or its network of IPv6, where one client has many.
func source(c net.Conn) netip.Addr {
	a, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	addr := a.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr
	}
	net64, _ := addr.Prefix(64)
	return net64.Addr()
}

// take counts a connection, unless it is too much. One that is over is taken for
// an answer that says so.
func (b *bounded) take(from netip.Addr) (taken, over bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	over = b.all >= b.limits.Total
	switch {
	case b.limits.Desk && b.all >= b.limits.Total+spare:
		return false, true
	case !b.limits.Desk && (over || b.of[from] >= b.limits.PerClient):
		return false, over
	}
	b.all++
	b.of[from]++
	return true, over
}

func (b *bounded) give(from netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all--
	if b.of[from]--; b.of[from] == 0 {
		delete(b.of, from)
	}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn
	over bool // it is beyond the limit
	once sync.Once
	done func()
}

func (c *counted) Close() error {
	c.once.Do(c.done)
	return c.Conn.Close()
}
