package selftest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"tench/internal/lab"
	"tench/pxe/event"
	"tench/pxe/tftp"
)

// Of the crowd. What each box fetches is small, so that the machine is busy with
// the number of boxes and not with bytes.
const (
	crowdSize   = 1000
	crowdKernel = 300_001
	crowdInitrd = 100_003
	crowdPage   = "10.7.0.1:8069"
	crowdOne    = "192.0.2.2" // the address behind which all of them are
)

var crowdAddress = netip.MustParsePrefix("10.7.0.1/21")

// crowdMAC is the address of the i-th box.
func crowdMAC(i int) event.MAC { return event.MAC{0x52, 0x54, 0, 1, byte(i >> 8), byte(i)} }

// crowdNet gives the client's end all addresses of the network, and the server a
// route to them through one: a kernel remembers some 1,000 neighbours, for all of
// the machine.
func crowdNet(t testing.TB, peer string) {
	t.Helper()
	server, all := crowdAddress.Addr().String(), crowdAddress.Masked().String()
	for _, line := range []string{
		"ip link set lo up", "ip link set " + clientDevice + " up", "ip addr add " + crowdOne + "/32 dev " + clientDevice,
		"ip route add local " + all + " dev lo", "ip route add " + server + "/32 dev " + clientDevice + " table local",
	} {
		lab.Run(t, "", strings.Fields(line)...)
	}
	for _, line := range []string{
		"ip addr add " + crowdAddress.String() + " dev " + serverDevice, "ip route del " + all + " dev " + serverDevice,
		"ip route add " + crowdOne + " dev " + serverDevice, "ip route add " + all + " via " + crowdOne,
	} {
		lab.Run(t, peer, strings.Fields(line)...)
	}
}

// starting asks the page how many boxes have fetched all that they need.
func starting(t testing.TB) (n int) {
	t.Helper()
	data, err := get(t.Context(), netip.Addr{}, "http://"+crowdPage+"/boxes.json")
	if err != nil {
		t.Fatal(err)
	}
	var state struct{ Boxes []struct{ Stage string } }
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	for _, b := range state.Boxes {
		if b.Stage == "starting" {
			n++
		}
	}
	return n
}

// get fetches by HTTP from an address of ours, with time enough for a busy
// machine.
func get(ctx context.Context, from netip.Addr, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dialer := net.Dialer{}
	if from.IsValid() {
		dialer.LocalAddr = &net.TCPAddr{IP: from.AsSlice()}
	}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s", url, res.Status)
	}
	return data, err
}

// followers is how many pages follow the events.
const followers = 8

// audience is what the operator's side saw.
type audience struct {
	slowest time.Duration
	answers int
}

// watch looks at the page, the metrics and the list, one after the other, and
// follows the events, until ctx ends. The audience is complete when wg is.
func watch(ctx context.Context, t testing.TB, wg *sync.WaitGroup) *audience {
	a := &audience{}
	wg.Go(func() {
		for ctx.Err() == nil {
			for _, path := range []string{"/", "/metrics", "/boxes.json"} {
				began := time.Now()
				_, err := get(ctx, netip.Addr{}, "http://"+crowdPage+path)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Errorf("the operator's %s: %v", path, err)
				}
				a.answers++
				a.slowest = max(a.slowest, time.Since(began))
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	for range followers {
		wg.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+crowdPage+"/events", nil)
			if err != nil {
				t.Error(err)
				return
			}
			res, err := (&http.Transport{}).RoundTrip(req)
			if err != nil {
				t.Errorf("follow the events: %v", err)
				return
			}
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, res.Body); ctx.Err() == nil {
				t.Errorf("the events broke off: %v", err)
			}
		})
	}
	return a
}

// crowd is all boxes: one socket has port 68 for them.
type crowd struct {
	t    testing.TB
	conn net.PacketConn

	mu      sync.Mutex
	waiting map[dhcpv4.TransactionID]chan *dhcpv4.DHCPv4
}

func newCrowd(t testing.TB) *crowd {
	t.Helper()
	conn, err := (&client{ctx: t.Context()}).dhcpSocket()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &crowd{t: t, conn: conn, waiting: map[dhcpv4.TransactionID]chan *dhcpv4.DHCPv4{}}
	go c.read()
	return c
}

// read passes answers on.
func (c *crowd) read() {
	p := make([]byte, 2048)
	for {
		n, _, err := c.conn.ReadFrom(p)
		if err != nil {
			return // closed
		}
		m, err := dhcpv4.FromBytes(p[:n])
		if err != nil {
			c.t.Errorf("an answer cannot be read: %v", err)
			continue
		}
		c.mu.Lock()
		waits := c.waiting[m.TransactionID]
		c.mu.Unlock()
		select {
		case waits <- m:
		default: // nobody asked, or it came twice
		}
	}
}

// ask sends a message until there is an answer of the kind, with pauses as iPXE's.
func (c *crowd) ask(m *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	answers := make(chan *dhcpv4.DHCPv4, 4)
	c.mu.Lock()
	c.waiting[m.TransactionID] = answers
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.waiting, m.TransactionID)
		c.mu.Unlock()
	}()
	for try := range 6 {
		if _, err := c.conn.WriteTo(m.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 67}); err != nil {
			return nil, err
		}
		late := time.After(time.Second << min(try, 4))
		for waits := true; waits; {
			select {
			case a := <-answers:
				if a.MessageType() == want {
					return a, nil
				}
			case <-late:
				waits = false
			}
		}
	}
	return nil, errNoAnswer
}

// address gets a box an address, as a client with these options.
func (c *crowd) address(mac event.MAC, options ...dhcpv4.Modifier) (netip.Addr, *dhcpv4.DHCPv4, error) {
	base := append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(mac[:]), dhcpv4.WithBroadcast(true)}, options...)
	discover, err := dhcpv4.New(append(base, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover))...)
	if err != nil {
		return netip.Addr{}, nil, err
	}
	offer, err := c.ask(discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return netip.Addr{}, nil, fmt.Errorf("DISCOVER: %w", err)
	}
	request, err := dhcpv4.New(append(base, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithTransactionID(discover.TransactionID),
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))...)
	if err != nil {
		return netip.Addr{}, nil, err
	}
	ack, err := c.ask(request, dhcpv4.MessageTypeAck)
	if err != nil {
		return netip.Addr{}, nil, fmt.Errorf("REQUEST: %w", err)
	}
	a, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok {
		err = errors.New("ACK without an address")
	}
	return a, ack, err
}

// ipxe is iPXE, in short.
func ipxe() []dhcpv4.Modifier {
	return rom(class("PXEClient:Arch:00000:UNDI:002001"), arch(iana.INTEL_X86PC), raw(dhcpv4.OptionUserClassInformation, []byte("iPXE")...),
		raw(dhcpv4.OptionEtherboot, 0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0, 0x13, 1, 1))
}

// boot is one box, from its ROM to the last byte of its initramfs.
func (c *crowd) boot(mac event.MAC) error {
	addr, ack, err := c.address(mac, rom(class("PXEClient:Arch:00000:UNDI:002001"))...)
	if err != nil {
		return err
	}
	loader, err := c.tftp(addr, ack.BootFileName)
	if err != nil {
		return err
	}
	if !bytes.Equal(loader, filler("undionly.kpxe", loaderSize)) {
		return fmt.Errorf("%s has %d bytes beginning with %s", ack.BootFileName, len(loader), cut(loader))
	}
	again, ack, err := c.address(mac, ipxe()...)
	if err != nil {
		return err
	}
	if again != addr {
		return fmt.Errorf("it has %v, then %v", addr, again)
	}
	script, err := c.tftp(addr, ack.BootFileName)
	if err != nil {
		return err
	}
	kernel, initrd := kernelRE.FindSubmatch(script), initrdRE.FindSubmatch(script)
	if kernel == nil || initrd == nil {
		return fmt.Errorf("%s names no kernel or no initramfs: %s", ack.BootFileName, cut(script))
	}
	k, err := get(c.t.Context(), addr, string(kernel[1]))
	if err != nil {
		return err
	}
	i, err := get(c.t.Context(), addr, string(initrd[1]))
	if err != nil {
		return err
	}
	if !bytes.Equal(k, filler("kernel qemu-amd64", crowdKernel)) || !bytes.HasPrefix(i, filler("initrd", crowdInitrd)) {
		return fmt.Errorf("the kernel has %d bytes, the initramfs %d", len(k), len(i))
	}
	return nil
}

// tftp fetches a file as a ROM does.
func (c *crowd) tftp(from netip.Addr, name string) ([]byte, error) {
	var out bytes.Buffer
	client := tftp.Client{Server: netip.AddrPortFrom(crowdAddress.Addr(), 69), Local: from, Block: 1456, Size: true, Wait: 5 * time.Second}
	_, err := client.Get(c.t.Context(), name, &out)
	return out.Bytes(), err
}

// counter is how many events there were.
var counter atomic.Int64
