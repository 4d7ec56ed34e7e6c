package selftest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tench/pxe/event"
	"tench/pxe/tftp"
)

const (
	patience = 5 * time.Second // how long a client waits for one answer
	silence  = 2 * time.Second // and for one that is not to come
)

// client is one client under way.
type client struct {
	ctx   context.Context
	mac   event.MAC
	addr  netip.Addr // once it has one
	reply *dhcpv4.DHCPv4
	port  int           // of its next TFTP request; 0 for any
	wait  time.Duration // for one answer by DHCP
}

// errNoAnswer is that nobody answered.
var errNoAnswer = errors.New("no answer")

// dhcp asks for an address as a client with these options, and takes it.
func (c *client) dhcp(options ...dhcpv4.Modifier) error {
	base := append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(c.mac[:]), dhcpv4.WithRequestedOptions(dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName, dhcpv4.OptionVendorSpecificInformation)}, options...)
	discover, err := dhcpv4.New(append(base, dhcpv4.WithMessageType(dhcpv4.MessageTypeDiscover))...)
	if err != nil {
		return err
	}
	return c.lease(discover.ToBytes(), func(offer *dhcpv4.DHCPv4) ([]byte, error) {
		request, err := dhcpv4.New(append(base, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithTransactionID(discover.TransactionID),
			dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))...)
		if err != nil {
			return nil, err
		}
		return request.ToBytes(), nil
	})
}

// lease sends a DISCOVER, then the REQUEST for what was offered, and takes the
// address.
func (c *client) lease(discover []byte, request func(offer *dhcpv4.DHCPv4) ([]byte, error)) error {
	conn, err := c.dhcpSocket()
	if err != nil {
		return err
	}
	defer conn.Close()
	offer, err := c.ask(conn, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return fmt.Errorf("DISCOVER: %w", err)
	}
	taking, err := request(offer)
	if err != nil {
		return err
	}
	if c.reply, err = c.ask(conn, taking, dhcpv4.MessageTypeAck); err != nil {
		return fmt.Errorf("REQUEST: %w", err)
	}
	a, ok := netip.AddrFromSlice(c.reply.YourIPAddr.To4())
	if !ok || !serverAddress.Contains(a) {
		return fmt.Errorf("ACK: the address %v is none of %v", c.reply.YourIPAddr, serverAddress)
	}
	return c.take(a)
}

// dhcpSocket is port 68, as every client without an address has it.
func (c *client) dhcpSocket() (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		cerr := raw.Control(func(fd uintptr) {
			err = errors.Join(unix.BindToDevice(int(fd), clientDevice), unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
		})
		return errors.Join(cerr, err)
	}}
	return lc.ListenPacket(c.ctx, "udp4", "0.0.0.0:68")
}

// ask sends a message to whoever listens and waits for its answer.
func (c *client) ask(conn net.PacketConn, m []byte, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	return c.askAt(conn, netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), 67), m, want)
}

func (c *client) askAt(conn net.PacketConn, server netip.AddrPort, m []byte, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	if _, err := conn.WriteTo(m, net.UDPAddrFromAddrPort(server)); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(c.wait)); err != nil {
		return nil, err
	}
	p := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(p)
		if errors.Is(err, syscall.EAGAIN) || isTimeout(err) {
			return nil, errNoAnswer
		}
		if err != nil {
			return nil, err
		}
		got, err := dhcpv4.FromBytes(p[:n])
		switch {
		case err != nil:
			return nil, fmt.Errorf("the answer cannot be read: %w", err)
		case !isAnswer(m, got):
		case got.MessageType() != want:
			return nil, fmt.Errorf("the answer is %v, not %v", got.MessageType(), want)
		default:
			return got, nil
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// take sets the address that was given on the wire.
func (c *client) take(a netip.Addr) error {
	c.drop()
	link, err := netlink.LinkByName(clientDevice)
	if err != nil {
		return err
	}
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(serverAddress.Bits(), 32)}}); err != nil {
		return err
	}
	c.addr = a
	return nil
}

// drop takes it off again; the wire may be gone.
func (c *client) drop() {
	link, err := netlink.LinkByName(clientDevice)
	if err != nil || !c.addr.IsValid() {
		return
	}
	_ = netlink.AddrDel(link, &netlink.Addr{IPNet: &net.IPNet{IP: c.addr.AsSlice(), Mask: net.CIDRMask(serverAddress.Bits(), 32)}})
	c.addr = netip.Addr{}
}

// file is the boot file of the answer, which must be in the fixed field and, if
// in an option too, be the same there.
func (c *client) file(want string) error {
	got := c.reply.BootFileName
	if option := c.reply.Options.Get(dhcpv4.OptionBootfileName); option != nil && got != "" && strings.TrimRight(string(option), "\x00") != got {
		return fmt.Errorf("the file is %q in the field and %q in option 67", got, option)
	}
	if got != want {
		return fmt.Errorf("the boot file is %q, not %q", got, want)
	}
	if next := c.reply.ServerIPAddr.String(); want != "" && next != serverAddress.Addr().String() {
		return fmt.Errorf("the next server is %s", next)
	}
	return nil
}

// get fetches a file by TFTP with blocks of a size; 0 for no options at all.
func (c *client) get(name string, block int) ([]byte, error) {
	var out bytes.Buffer
	t := tftp.Client{Server: netip.AddrPortFrom(serverAddress.Addr(), 69), Local: c.addr, Block: block, Size: block > 0}
	_, err := t.Get(c.ctx, name, &out)
	return out.Bytes(), err
}

// want fetches a file and compares it.
func (c *client) want(name string, block int, content []byte) error {
	got, err := c.get(name, block)
	if err == nil && !bytes.Equal(got, content) {
		err = fmt.Errorf("%s: %d bytes beginning with %s, not %d", name, len(got), cut(got), len(content))
	}
	return err
}

// starts fetches a file that must contain a text.
func (c *client) starts(name string, block int, text string) error {
	got, err := c.get(name, block)
	if err == nil && !bytes.Contains(got, []byte(text)) {
		err = fmt.Errorf("%s lacks %q; it has %s", name, text, cut(got))
	}
	return err
}

// TFTP's opcodes (RFC 1350, RFC 2347).
const (
	opRRQ   = 1
	opDATA  = 3
	opERROR = 5
	opOACK  = 6
)

// open asks for a file from the client's port and returns the first answer, and
// what gives it up with an ERROR, as ROMs and loaders do that have seen enough.
func (c *client) open(name string, options ...string) (answer []byte, abort func(code uint16) error, err error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: c.addr.AsSlice(), Port: c.port})
	if err != nil {
		return nil, nil, err
	}
	c.port = conn.LocalAddr().(*net.UDPAddr).Port // the next request may come from it
	words := append([]string{name, "octet"}, options...)
	rrq := append(binary.BigEndian.AppendUint16(nil, opRRQ), strings.Join(words, "\x00")+"\x00"...)
	p := make([]byte, 2048)
	n, from, err := exchange(conn, rrq, p)
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("RRQ %s: %w", name, err)
	}
	return p[:n], func(code uint16) error {
		defer conn.Close()
		words := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, opERROR), code)
		_, err := conn.WriteToUDPAddrPort(append(words, "aborted\x00"...), from)
		return err
	}, nil
}

// exchange sends a request until there is an answer, as loaders do.
func exchange(conn *net.UDPConn, rrq, answer []byte) (int, netip.AddrPort, error) {
	for range 3 {
		if _, err := conn.WriteToUDPAddrPort(rrq, netip.AddrPortFrom(serverAddress.Addr(), 69)); err != nil {
			return 0, netip.AddrPort{}, err
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return 0, netip.AddrPort{}, err
		}
		if n, from, err := conn.ReadFromUDPAddrPort(answer); !isTimeout(err) {
			return n, from, err
		}
	}
	return 0, netip.AddrPort{}, errNoAnswer
}

// probe asks for a file with options, must get an OACK with them, and aborts.
func (c *client) probe(name string, granted string, options ...string) error {
	answer, abort, err := c.open(name, options...)
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint16(answer) != opOACK || !bytes.Contains(bytes.ToLower(answer), []byte(granted)) {
		return errors.Join(abort(8), fmt.Errorf("RRQ %s %v: the answer %q grants no %q", name, options, answer[:min(len(answer), 80)], granted))
	}
	return abort(8)
}

// misses asks for files that are not there: each must be answered at once, which a
// busy machine may miss twice.
func (c *client) misses(names ...string) error {
	for _, name := range names {
		var took time.Duration
		for try := 0; try == 0 || took > time.Second; try++ {
			if try == 3 {
				return fmt.Errorf("RRQ %s: it took %v to say that it is not there", name, took)
			}
			var err error
			if took, err = c.miss(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// miss is misses of one file, and how long its answer took.
func (c *client) miss(name string) (time.Duration, error) {
	c.port = 0
	began := time.Now()
	answer, abort, err := c.open(name)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	_ = abort(0) // the transfer never was
	if binary.BigEndian.Uint16(answer) != opERROR || binary.BigEndian.Uint16(answer[2:]) != 1 {
		err = fmt.Errorf("RRQ %s: the answer is %q, not that it is not there", name, answer[:min(len(answer), 80)])
	}
	return took, err
}

// http asks by HTTP, from the client's address; headers are names and values in
// turn.
func (c *client) http(method, url, body string, headers ...string) (int, []byte, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: c.addr.AsSlice()}, Timeout: patience}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	ctx, cancel := context.WithTimeout(c.ctx, 4*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path.Base(req.URL.Path), err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		err = fmt.Errorf("%s %s: %w", method, path.Base(req.URL.Path), err)
	}
	return res.StatusCode, data, err
}

// fetch gets a file by HTTP.
func (c *client) fetch(url string) ([]byte, error) {
	code, data, err := c.http(http.MethodGet, url, "")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("GET %s: status %d", url, code)
	}
	return data, err
}
