// Package web is the HTTP of a netboot server: one handler for the boxes on the
// cable, another one for the operator.
//
//	web.go      the map; what a handler for boxes is made of
//	files.go    kernel, initramfs, scripts: with ranges, and reported as they go
//	box.go      /b/TOKEN/: an installer's requests, and what it reports
//	image.go    its image: from the start, or from where the line broke
//	serve.go    Serve: time limits, how many connections one client has, and all
//	desk.go     Desk: the operator's page, /boxes.json, the transcript of a console
//	stream.go   /events: the rows of the page as they change
//	metrics.go  /metrics: for Prometheus
//	page/       the page: HTML, CSS, script; no build step
//
// The two never share a listener: what Desk shows is nobody's business on the
// install cable, and Boxes answers whoever asks from there. A box's strings are
// hostile wherever they come out.
package web

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"tench/pxe/event"
	"tench/pxe/track"
	"tench/release/netboot"
	"tench/release/writestream"
)

// File is a file on its way to a box.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Content is what an installer gets. An error that is a *Refusal is said to the
// box; any other one is the desk's trouble, told to the operator alone, after
// which the box asks again.
type Content interface {
	// Plan says which of the box's disks is to be written. The question's texts are
	// harmless.
	Plan(ctx context.Context, i track.Install, q netboot.Question) (netboot.Plan, error)
	// Image makes the write stream ready that the box asks for.
	Image(ctx context.Context, i track.Install, r writestream.Request) (Image, error)
	// Done checks the receipt of what was read back. A box that has not got its
	// answer says it again.
	Done(ctx context.Context, i track.Install, receipt string) error
}

// Image is a write stream for one box.
type Image interface {
	Size() int64 // bytes
	Tag() string // another one for other bytes: their hash in hex
	// Send writes all of it. An error after the first byte cuts the line.
	Send(ctx context.Context, w io.Writer) error
	Close() error
}

// Refusal is a no that asking again does not change, in words for the box's
// console.
type Refusal struct {
	Text  string
	Final bool // also where the box looks at its disks again
}

func (r *Refusal) Error() string { return r.Text }

// Options are what Boxes is made with.
type Options struct {
	Table   *track.Table
	Content Content
	// Open opens what a box may have by this name, the path of the URL without
	// its first slash. fs.ErrNotExist is "404 Not Found", and normal.
	Open func(client netip.AddrPort, name string) (File, error)
	// Box is whose an address is; the zero MAC for not known. nil leaves it to the
	// table, which knows the addresses that it was told of.
	Box  func(netip.Addr) event.MAC
	Sink event.Sink
	Now  func() time.Time
}

// Boxes is the handler for the boxes on the cable.
func Boxes(o Options) http.Handler {
	b := boxes{o}
	api := http.NewServeMux()
	api.HandleFunc("POST /b/{token}/progress", b.progress)
	api.HandleFunc("POST /b/{token}/plan", b.plan)
	api.HandleFunc("GET /b/{token}/image", b.image)
	api.HandleFunc("POST /b/{token}/done", b.done)
	api.HandleFunc("GET /b/{token}/installed", b.installed)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		// The mux would clean paths by redirects, which neither loaders nor installers
		// follow.
		switch p := r.URL.EscapedPath(); {
		case !strings.HasPrefix(r.URL.Path, "/b/"):
			b.file(w, r)
		case path.Clean(p) != p:
			http.NotFound(w, r)
		default:
			api.ServeHTTP(w, r)
		}
	})
}

// boxes are the handlers for boxes.
type boxes struct{ Options }

// say reports an event of a client that is known by its address.
func (b boxes) say(r *http.Request, e event.Event) {
	e.Time, e.IP = b.Now(), client(r).Addr()
	if b.Box != nil {
		e.Box = b.Box(e.IP)
	}
	b.Sink.Send(e)
}

// client is where a request comes from.
func client(r *http.Request) netip.AddrPort {
	a, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{} // not of a TCP connection
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
