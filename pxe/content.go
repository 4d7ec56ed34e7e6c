package pxe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"

	"tench/boards"
	"tench/pxe/boxes"
	"tench/pxe/event"
	"tench/pxe/track"
	"tench/pxe/web"
	"tench/release/netboot"
)

// content is what an installer gets by HTTP. It is a web.Content.
type content struct {
	s *Server

	mu       sync.Mutex
	receipts map[string]string // of the last image that was sent whole, by token
}

// Plan says which disk is written.
func (c *content) Plan(_ context.Context, i track.Install, q netboot.Question) (netboot.Plan, error) {
	box, listed := c.s.inventory().ByName(i.Name)
	if !listed {
		box = boxes.Box{Name: i.Box.Dashed(), Board: i.Board}
	}
	if err := c.s.otherBoard(box, boards.Hardware(q.Hardware)); err != nil {
		return netboot.Plan{}, &web.Refusal{Text: oneLine(err), Final: true}
	}
	plan, err := Plan(i.Order, q.Disks)
	if err != nil {
		return plan, &web.Refusal{Text: err.Error()}
	}
	return plan, nil
}

// keep keeps the receipt of one token; "" forgets it.
func (c *content) keep(token, receipt string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if receipt == "" {
		delete(c.receipts, token)
		return
	}
	c.receipts[token] = receipt
}

// Done compares what was read back with what was sent.
func (c *content) Done(_ context.Context, i track.Install, receipt string) error {
	c.mu.Lock()
	sent, known := c.receipts[i.Token]
	c.mu.Unlock()
	switch {
	case i.State == track.StateWritten: // it has not got our answer
		return nil
	case !known:
		return &web.Refusal{Text: "no whole image was sent to this box since the server started: start it again"}
	case sent != receipt:
		return &web.Refusal{Text: "what was read back from the disk is not what was sent"}
	}
	return nil
}

// serveBoxes is HTTP for the boxes on the cable.
func (s *Server) serveBoxes(ctx context.Context) error {
	h := web.Boxes(web.Options{
		Table: s.table, Content: &content{s: s, receipts: map[string]string{}}, Open: s.openHTTP,
		Box: func(a netip.Addr) event.MAC {
			mac, _ := s.dhcp.MAC(a)
			return mac
		},
		Sink: s.sink, Now: s.o.Now,
	})
	return web.Serve(ctx, s.http, h, web.Limits{})
}

// openHTTP is Open for the web server, which has one answer for what is not
// there and what a stranger may not have.
func (s *Server) openHTTP(client netip.AddrPort, name string) (web.File, error) {
	f, err := s.Open(client.Addr(), name, s.view)
	if errors.Is(err, fs.ErrPermission) {
		s.sink(event.Event{IP: client.Addr(), Kind: event.Refused, File: name, Text: err.Error()})
		return nil, fs.ErrNotExist
	}
	return f, err
}

// servePage is HTTP for the operator.
func (s *Server) servePage(ctx context.Context) error {
	about := fmt.Sprintf("%s: %s, %s", s.o.Interface.Name, s.dhcpMode(), s.o.Address)
	o := web.DeskOptions{Table: s.table, About: about}
	if s.o.Console != nil {
		o.Console = func(mac event.MAC) []string { return s.o.Console(mac, s.nameOf(mac)) }
	}
	return web.Serve(ctx, s.page, web.Desk(o), web.Limits{Desk: true})
}
