// Package pxe is the netboot server: it puts together what speaks DHCP, TFTP and
// HTTP to boxes, and decides what each box gets.
//
//	server.go    Options, Server: what listens, from start to end
//	listen.go    sockets on one interface
//	decide.go    what a box gets that asks by DHCP: all rules in one place
//	loader.go    which program a firmware loads
//	grub.go      GRUB, told where we are
//	open.go      what a box finds at a path
//	content.go   HTTP: the installer's plan and receipt; the operator's page
//	image.go     the installer's image, on its way
//	who.go       which box it is
//	hardware.go  whether it is the board that it is listed as
//	inventory.go boxes.toml, read again when it changes
//	products.go  the files of a release, held to their hashes
//	kernel.go    a kernel for what starts it without UEFI
//	plan.go      which disk an install writes
//	arm.go       arming a box; control.go the same from another process
//	client.go    that other process
//
// It knows nothing of builds: cmd/tench hands it loaders, boards, and what makes
// an image for one box. Everything that happens is an event; package track makes
// the stages of boxes of them and keeps what is armed.
package pxe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"tench/boards"
	"tench/pxe/boxes"
	"tench/pxe/dhcp"
	"tench/pxe/event"
	"tench/pxe/tftp"
	"tench/pxe/track"
	"tench/pxe/view"
	"tench/release/writestream"
)

// Product is a board as it is served.
type Product struct {
	Board  boards.Board
	Args   []string // of its kernel
	Router []byte   // its own router.toml
	Files  *Products
}

// Image is an image for one box, on the way to its disk.
type Image struct {
	Product Product
	Box     boxes.Box // with its identity and its first generation
	Request writestream.Request
	Seed    [32]byte // of what is random in it: the same for the same arming
}

// Stream is a write stream that is ready to be sent.
type Stream interface {
	// Send writes all of it, the same bytes each time, and returns the receipt of
	// package writestream.
	Send(ctx context.Context, out io.Writer) (receipt string, err error)
	Close() error
}

// Options are what a server needs.
type Options struct {
	Interface *net.Interface
	Address   netip.Prefix // ours on it
	Mode      dhcp.Mode
	Loader    Loader   // "" for LoaderAuto
	Boxes     string   // path of boxes.toml; "" for none
	Boards    []string // that may be in it
	// Hardware is what the firmware of each board calls it, as far as it is known.
	Hardware map[string]boards.Hardware
	AnyBoard string // what any box is that is not in it; "" for a stranger, who gets nothing
	State    string // folder of what is armed
	HTTPPort uint16 // 0 for 80
	// Page is where the operator's page is, e.g. 127.0.0.1:8069; its port 0 is any.
	Page string
	// Console is what the serial console of a box, by its MAC or its name, said
	// last; it may be nil.
	Console func(box event.MAC, name string) []string

	Loaders map[string][]byte // of build.Loaders
	// Product gives a board, after an audit of its files. The error says why there
	// is none, in words with a hint. It is called when a box is armed.
	Product func(ctx context.Context, board string) (Product, error)
	// Check looks at the configuration and the identity of a box in boxes.toml.
	Check func(boxes.Box) error
	// Image makes the image for a box ready.
	Image func(ctx context.Context, i Image) (Stream, error)
	Sink  event.Sink // hears everything; may be nil

	Now    func() time.Time // nil for time.Now
	Random io.Reader        // nil for crypto/rand
}

// Server is a netboot server that listens.
type Server struct {
	o        Options
	view     view.View         // by HTTP
	tftpView view.View         // by TFTP
	grubs    map[string][]byte // those that know where we are, which TFTP sends
	table    *track.Table
	boxes    *inventory
	register *register
	dhcp     *dhcp.Server
	tftp     net.PacketConn
	http     net.Listener // for boxes
	page     net.Listener // for the operator
	control  net.Listener // for other processes of the operator
	closers  []io.Closer  // of all that is open, in the order it was opened

	mu        sync.Mutex
	any       string // what any stranger is
	anyRouter []byte // his router.toml; nil for the board's
	products  map[string]Product
	folders   map[string]view.Folder
}

// Listen opens all that the server needs, and takes nothing half: on an error
// all is closed again. In a mode with DHCP it looks for other servers first.
func Listen(ctx context.Context, o Options) (*Server, error) {
	s := newServer(o)
	if err := s.open(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// newServer is a server that has opened nothing.
func newServer(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.HTTPPort == 0 {
		o.HTTPPort = 80
	}
	if o.Loader == "" {
		o.Loader = LoaderAuto
	}
	s := &Server{
		o: o, register: newRegister(), any: o.AnyBoard, folders: map[string]view.Folder{}, products: map[string]Product{},
		view:  view.View{Server: netip.AddrPortFrom(o.Address.Addr(), o.HTTPPort), Loaders: o.Loaders},
		grubs: tellGRUBs(o.Loaders, o.Address.Addr()),
	}
	s.tftpView = s.view
	s.tftpView.Loaders = maps.Clone(o.Loaders)
	maps.Copy(s.tftpView.Loaders, s.grubs)
	return s
}

// openState opens what the server keeps.
func (s *Server) openState(ctx context.Context) error {
	if err := s.openTable(); err != nil {
		return err
	}
	var err error
	for _, b := range s.inventory().Boxes {
		err = errors.Join(err, s.o.Check(b))
	}
	if err != nil {
		return err
	}
	return s.resume(ctx)
}

// openTable opens the list of boxes and what they are armed for.
func (s *Server) openTable() (err error) {
	if s.boxes, err = openInventory(s.o.Boxes, s.o.Boards, s.tellInventory); err != nil {
		return err
	}
	s.table, err = track.New(track.Options{Dir: s.o.State, Name: s.nameOf, Sink: s.sink, Now: s.o.Now, Random: s.o.Random})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.table)
	return nil
}

func (s *Server) open(ctx context.Context) (err error) {
	if err := s.openState(ctx); err != nil {
		return err
	}
	if s.control, err = listenControl(s.o.State); err != nil {
		return err
	}
	s.closers = append(s.closers, s.control)
	device, addr := s.o.Interface.Name, s.o.Address.Addr()
	if s.tftp, err = listenPacket(ctx, device, netip.AddrPortFrom(addr, tftpPort)); err != nil {
		return err
	}
	s.closers = append(s.closers, s.tftp)
	if s.http, err = listenStream(ctx, device, s.view.Server); err != nil {
		return err
	}
	s.closers = append(s.closers, s.http)
	if s.page, err = net.Listen("tcp", s.o.Page); err != nil {
		return fmt.Errorf("pxe: operator's page: %w\nhint: --page ADDRESS:PORT names another place", err)
	}
	s.closers = append(s.closers, s.page)
	s.dhcp, err = dhcp.Listen(ctx, dhcp.Options{Interface: s.o.Interface, Server: s.o.Address, Mode: s.o.Mode,
		Decide: s.decide, Sink: s.sink, Now: s.o.Now, Random: s.o.Random})
	return hinted(err)
}

// resume loads what is armed since before. A stranger who ran from RAM was one as
// long as the server ran that he came to.
func (s *Server) resume(ctx context.Context) error {
	if s.any != "" {
		if _, err := s.load(ctx, s.any); err != nil {
			return err
		}
	}
	loaded := map[string]error{} // by board: an audit takes its time, and boxes may be many
	for _, b := range s.table.Snapshot() {
		switch i := b.Install; {
		case i == nil || !i.Pending() || i.Board == "":
		case i.Any:
			if err := s.table.Disarm(b.MAC); err != nil {
				return err
			}
		default:
			err, tried := loaded[i.Board]
			if !tried {
				_, err = s.load(ctx, i.Board)
				loaded[i.Board] = err
			}
			if err != nil {
				s.say(event.Event{Box: b.MAC, Kind: event.Trouble, Text: oneLine(err)})
			}
		}
	}
	return nil
}

// load audits a board's files and serves them from now on.
func (s *Server) load(ctx context.Context, board string) (Product, error) {
	p, err := s.o.Product(ctx, board)
	if err == nil {
		err = ctx.Err() // who asked has gone
	}
	if err != nil {
		return Product{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.products[board] = p
	return p, nil
}

// product is what an order is of, unless that is another by now.
func (s *Server) product(o track.Order) (Product, error) {
	s.mu.Lock()
	p, ok := s.products[o.Board]
	s.mu.Unlock()
	if !ok {
		return Product{}, fmt.Errorf("pxe: the files of %s are not whole\nhint: tench verify says what is wrong; then arm the box again", o.Board)
	}
	same := o.Release == "" || o.Release == p.Files.Release
	if o.Image != "" {
		_, sum, err := p.Files.Image(o.Board)
		if err != nil {
			return Product{}, err
		}
		same = same && sum == o.Image
	}
	if !same {
		return Product{}, fmt.Errorf("pxe: what is served of %s is not what the box was armed with\nhint: arm it again", o.Board)
	}
	return p, nil
}

// Close closes all that is open. Serve does it too.
func (s *Server) Close() {
	for _, c := range slices.Backward(s.closers) {
		_ = c.Close() // what ends has nobody to tell
	}
	s.closers = nil
	if s.dhcp != nil {
		s.dhcp.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.folders {
		_ = f.Close()
	}
	clear(s.folders)
}

// Mode is the mode that was chosen; never dhcp.Auto.
func (s *Server) Mode() dhcp.Mode { return s.dhcp.Mode() }

// Page is the URL of the operator's page.
func (s *Server) Page() string { return "http://" + s.page.Addr().String() + "/" }

// Table is what goes on, and what is armed.
func (s *Server) Table() *track.Table { return s.table }

// Serve answers until ctx ends, which is no error, or until one of the servers
// does.
func (s *Server) Serve(ctx context.Context) error {
	defer s.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	run := func(serve func(context.Context) error) {
		wg.Go(func() { cancel(serve(ctx)) })
	}
	run(s.dhcp.Serve)
	run(func(ctx context.Context) error {
		return tftp.Serve(ctx, s.tftp, tftp.Options{Open: s.openTFTP, Sink: s.sink, Device: s.o.Interface.Name, MTU: s.o.Interface.MTU, Now: s.o.Now})
	})
	run(func(ctx context.Context) error { s.table.Run(ctx); return nil })
	run(s.serveBoxes)
	run(s.servePage)
	run(s.serveControl)
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// sink takes every event. Servers that know only an address leave it to us to
// find out whose it is.
func (s *Server) sink(e event.Event) {
	if e.Box.IsZero() && e.IP.IsValid() && e.Kind != event.Foreign && s.dhcp != nil {
		e.Box, _ = s.dhcp.MAC(e.IP)
	}
	if e.Kind == event.Transfer && e.Total > 0 && e.Done == e.Total && slices.Contains(ipxePrograms, e.File) {
		s.register.gotIPXE(e.Box, s.o.Now())
	}
	s.say(e)
}

// say is sink for what we say ourselves. What to do about trouble is on a line of
// its own, which an event has not.
func (s *Server) say(e event.Event) {
	if e.Time.IsZero() {
		e.Time = s.o.Now()
	}
	e.Text = strings.ReplaceAll(e.Text, "\nhint: ", "; hint: ")
	if s.table != nil {
		s.table.Event(e)
	}
	s.o.Sink.Send(e)
}

// nameOf is the name that boxes.toml has for a port. The table calls it under its
// lock.
func (s *Server) nameOf(mac event.MAC) string {
	if b, ok := s.boxes.read().ByMAC(mac); ok {
		return b.Name
	}
	return s.register.bound(mac)
}

// anyBoard is what any stranger is; "" for one who gets nothing.
func (s *Server) anyBoard() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.any
}
