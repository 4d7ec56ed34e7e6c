package tftp

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"time"

	pin "github.com/pin/tftp/v3"
)

// Client fetches files as the plainest boot ROM does: block by block.
type Client struct {
	Server netip.AddrPort
	Local  netip.Addr    // the address to ask from; the zero value: the kernel's choice
	Block  int           // blksize to ask for, in bytes; 0: no option, 512
	Size   bool          // ask for the size, as boot ROMs do
	Wait   time.Duration // for an answer, five times before it gives up; 0: a second
}

// Get writes the file called name to w and returns how long it was. When ctx is
// done it ends with the next packet, or when the wait for one is over.
func (c Client) Get(ctx context.Context, name string, w io.Writer) (int64, error) {
	if c.Wait == 0 {
		c.Wait = time.Second
	}
	client, err := pin.NewClient(c.Server.String())
	if err != nil {
		return 0, fmt.Errorf("tftp: get %s: %w", name, err)
	}
	if c.Local.IsValid() {
		if err := client.SetLocalAddr(c.Local.String()); err != nil {
			return 0, fmt.Errorf("tftp: get %s: %w", name, err)
		}
	}
	client.SetTimeout(c.Wait)
	client.SetBackoff(func(int) time.Duration { return 0 })
	client.SetBlockSize(c.Block)
	client.RequestTSize(c.Size)
	file, err := client.Receive(name, "octet")
	if err != nil {
		return 0, fmt.Errorf("tftp: get %s: %w", name, err)
	}
	n, err := file.WriteTo(writer{ctx, w})
	if err != nil {
		return n, fmt.Errorf("tftp: get %s: %w", name, err)
	}
	return n, nil
}

// writer fails when its context is done: pin's client knows none.
type writer struct {
	ctx context.Context
	io.Writer
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}
