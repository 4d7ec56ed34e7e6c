package selftest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/vishvananda/netlink"
)

// beside are the clients of a wire on which another server gives the addresses, and
// ours names the files: proxy mode.
var beside = []standIn{
	{"proxy: iPXE as a ROM", bios, proxied("ipxe-rom", "boot.ipxe", (*client).script)},
	{"proxy: iPXE, chain-loaded", bios, proxied("ipxe-undionly", "boot.ipxe", (*client).script)},
	{"proxy: x64 UEFI", uefi, proxied("uefi-x64", "snponly.efi", nil)},
	{"proxy: iPXE for UEFI", uefi, proxied("ipxe-snponly", "boot.ipxe", (*client).script)},
	{"proxy: UEFI HTTP boot", uefi, bootHTTPProxied},
	{"proxy: not armed", disk, unanswered("ipxe-rom")},
	{"proxy: a stranger", stranger, unanswered("uefi-x64")},
}

// named are the clients of a wire on which another server names us: foreign mode.
var named = []standIn{
	{"foreign: BIOS, iPXE", bios, bootNamed},
	{"foreign: GRUB", uefi, func(c *client) (string, error) { return grubFiles(c, c.settle()) }},
	{"foreign: DHCP", uefi, unanswered("uefi-x64")},
	{"foreign: a stranger", stranger, bootNamedStranger},
}

// settle takes the address that another server gave. Our server was not told whose
// that is: it asks the kernel, so that the wire has to have the box's MAC too. With
// that the kernel forgets whom it knows there, and asks for the server as a box does
// that was just switched on.
func (c *client) settle() error {
	link, err := netlink.LinkByName(clientDevice)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetHardwareAddr(link, c.mac[:]); err != nil {
		return err
	}
	return c.take(netip.AddrFrom4([4]byte{192, 0, 2, 100 + c.mac[5]%100}))
}

// discover sends a DISCOVER that was captured, and returns it and its answer.
func (c *client) discover(capture string) (message, *dhcpv4.DHCPv4, error) {
	m, err := captured(capture, dhcpv4.MessageTypeDiscover, c.mac)
	if err != nil {
		return nil, nil, err
	}
	if _, err := rand.Read(m[atXID:][:4]); err != nil {
		return nil, nil, err
	}
	conn, err := c.dhcpSocket()
	if err != nil {
		return nil, nil, err
	}
	defer conn.Close()
	offer, err := c.ask(conn, m, dhcpv4.MessageTypeOffer)
	if err == nil && !offer.YourIPAddr.IsUnspecified() {
		err = fmt.Errorf("the offer has the address %v, which is the other server's to give", offer.YourIPAddr)
	}
	return m, offer, err
}

// proxied is a client that hears the proxy's offer, takes an address from another
// server, asks the proxy again on port 4011 (PXE 2.1 section 2.2.3), and boots.
func proxied(capture, file string, then func(*client) (string, error)) func(*client) (string, error) {
	return func(c *client) (string, error) {
		m, offer, err := c.discover(capture)
		if err != nil {
			return "", fmt.Errorf("DISCOVER: %w", err)
		}
		if c.reply = offer; offer.ClassIdentifier() != "PXEClient" {
			return "", fmt.Errorf("the offer's vendor class is %q: firmware drops it", offer.ClassIdentifier())
		}
		if err := errors.Join(c.file(file), c.settle(), c.askBootServer(m), c.file(file)); err != nil {
			return "", err
		}
		if then != nil {
			return then(c)
		}
		return file, c.want(file, 1468, filler(file, loaderSize))
	}
}

// askBootServer asks on port 4011, with the address that the client has now.
func (c *client) askBootServer(discover message) error {
	m := slices.Clone(discover)
	m.option(dhcpv4.OptionDHCPMessageType, 1)[0] = byte(dhcpv4.MessageTypeRequest)
	copy(m[atCIAddr:], c.addr.AsSlice())
	conn, err := c.dhcpSocket()
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.reply, err = c.askAt(conn, netip.AddrPortFrom(serverAddress.Addr(), 4011), m, dhcpv4.MessageTypeAck); err != nil {
		return fmt.Errorf("REQUEST on port 4011: %w", err)
	}
	return nil
}

// bootHTTPProxied has its URL with the offer, and asks for nothing more.
func bootHTTPProxied(c *client) (string, error) {
	_, offer, err := c.discover("uefi-http")
	if err != nil {
		return "", fmt.Errorf("DISCOVER: %w", err)
	}
	c.reply = offer
	return c.urlOf(c.settle())
}

// unanswered is a client that is to get no answer by DHCP.
func unanswered(capture string) func(*client) (string, error) {
	return func(c *client) (string, error) {
		c.wait = silence
		_, _, err := c.discover(capture)
		if !errors.Is(err, errNoAnswer) {
			return "", errors.Join(err, errors.New("its DISCOVER got an answer"))
		}
		return "no answer", nil
	}
}

// bootNamed is a BIOS that another server names undionly.kpxe, and the iPXE that it
// then is, which is named the same: the server gives that one the script.
func bootNamed(c *client) (string, error) {
	const file = "undionly.kpxe"
	if err := errors.Join(c.settle(), c.want(file, 1456, filler(file, loaderSize))); err != nil {
		return "", err
	}
	// It starts meanwhile. The server knows it by having got all of it, which a busy
	// one notes late; then iPXE gets itself again, and asks again.
	for range 5 {
		time.Sleep(50 * time.Millisecond)
		script, err := c.get(file, 1432)
		switch {
		case err != nil:
			return "", err
		case bytes.HasPrefix(script, []byte("#!ipxe")):
			return c.kernelOf(script)
		}
	}
	return "", errors.New("iPXE gets itself and no script")
}

func bootNamedStranger(c *client) (string, error) {
	if err := c.settle(); err != nil {
		return "", err
	}
	answer, abort, err := c.open("undionly.kpxe")
	if err != nil {
		return "", err
	}
	_ = abort(0) // the transfer never was
	if binary.BigEndian.Uint16(answer) != opERROR {
		return "", fmt.Errorf("RRQ undionly.kpxe: the answer is %q, not an ERROR", answer[:min(len(answer), 80)])
	}
	return "no file", nil
}
