package dhcp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

const (
	// probeWait is longer than a server takes that pings an address for 3 s
	// before it offers it.
	probeWait = 4 * time.Second
	// probeEvery is how soon another server is noticed that no box has met.
	probeEvery = time.Minute
	// probeRest is how long a probe goes on behind the first answer.
	probeRest = 500 * time.Millisecond
)

// Probe asks as a client without an address would, and returns what answered
// within wait; 0 is the default of 4 s. It ends half a second behind the first
// answer.
func Probe(ctx context.Context, iface *net.Interface, wait time.Duration) ([]Found, error) {
	w, err := watch(iface)
	if err != nil {
		return nil, fmt.Errorf("dhcp: %s: %w", iface.Name, err)
	}
	defer w.Close()
	list, err := w.probe(ctx, wait, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("dhcp: %s: probe: %w", iface.Name, err)
	}
	return list, nil
}

// ask sends the two messages of a probe.
func (w *watcher) ask(random io.Reader) error {
	var xid [2]dhcpv4.TransactionID
	for i := range xid {
		if _, err := io.ReadFull(random, xid[i][:]); err != nil {
			return fmt.Errorf("draw transaction number: %w", err)
		}
	}
	for _, b := range probes(w.iface.HardwareAddr, xid) {
		if err := w.Send(unix.ETH_P_IP, b); err != nil {
			return fmt.Errorf("send DISCOVER: %w", hinted(err, w.iface.Name, 0))
		}
	}
	return nil
}

// probe asks now, and once more at half of the time, and listens.
func (w *watcher) probe(ctx context.Context, wait time.Duration, random io.Reader) ([]Found, error) {
	if wait == 0 {
		wait = probeWait
	}
	end := time.Now().Add(wait)
	var list []Found
	for _, until := range []time.Time{end.Add(-wait / 2), end} {
		if err := w.ask(random); err != nil {
			return nil, err
		}
		if err := w.listen(ctx, until, &list); err != nil {
			return nil, err
		}
		if len(list) > 0 {
			break
		}
	}
	return list, w.SetReadDeadline(time.Time{})
}

// listen adds who is heard to list, until the time or shortly behind the first.
func (w *watcher) listen(ctx context.Context, until time.Time, list *[]Found) error {
	stop := context.AfterFunc(ctx, func() { w.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := w.SetReadDeadline(until); err != nil {
		return err
	}
	for {
		f, err := w.hear()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
		if len(*list) == 0 {
			if err := w.SetReadDeadline(time.Now().Add(probeRest)); err != nil {
				return err
			}
		}
		if *list = merge(*list, f); len(*list) >= mostOthers {
			return nil
		}
	}
}
