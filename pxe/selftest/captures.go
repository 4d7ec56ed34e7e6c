package selftest

import (
	"bytes"
	"crypto/rand"
	"embed"
	"fmt"
	"io/fs"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"tench/pxe/event"
)

// captures are DHCP messages that real clients sent, byte for byte: what is in the
// UDP packet. captures/README.md says how each was taken.
//
//go:embed captures/*.bin
var captures embed.FS

// message is a DHCP message as it is on the wire (RFC 2131 section 2).
type message []byte

// Places in a message.
const (
	atXID     = 4
	atCIAddr  = 12
	atCHAddr  = 28
	atOptions = 240 // behind the magic cookie
)

// captured is what a client sent, as the box with another address would have.
func captured(client string, kind dhcpv4.MessageType, mac event.MAC) (message, error) {
	name := map[dhcpv4.MessageType]string{dhcpv4.MessageTypeDiscover: "discover", dhcpv4.MessageTypeRequest: "request"}[kind]
	data, err := fs.ReadFile(captures, "captures/"+client+"-"+name+".bin")
	if err != nil {
		return nil, fmt.Errorf("selftest: %w", err)
	}
	m := message(data)
	copy(m[atCHAddr:], mac[:])
	copy(m.option(dhcpv4.OptionClientIdentifier, 7)[1:], mac[:])
	copy(m.option(dhcpv4.OptionClientMachineIdentifier, 17)[11:], mac[:])
	return m, nil
}

// option is the value of an option in the message, of n bytes; a value to throw
// away where there is none.
func (m message) option(code dhcpv4.OptionCode, n int) []byte {
	for p := m[atOptions:]; len(p) > 1 && p[0] != dhcpv4.OptionEnd.Code(); {
		if p[0] == dhcpv4.OptionPad.Code() {
			p = p[1:]
			continue
		}
		length := int(p[1])
		if p[0] == code.Code() && length == n && len(p) >= 2+n {
			return p[2:][:n]
		}
		p = p[min(2+length, len(p)):]
	}
	return make([]byte, n)
}

// asRequest makes the REQUEST of a client of which only the DISCOVER is known: with
// two options more, as all of them have.
func (m message) asRequest() message {
	m = slices.Clone(m)
	m.option(dhcpv4.OptionDHCPMessageType, 1)[0] = byte(dhcpv4.MessageTypeRequest)
	more := []byte{dhcpv4.OptionServerIdentifier.Code(), 4, 0, 0, 0, 0, dhcpv4.OptionRequestedIPAddress.Code(), 4, 0, 0, 0, 0}
	return slices.Insert(m, atOptions+3, more...) // behind the type, which is the first
}

// replay asks for an address with the messages that a client was seen to send, and
// takes it.
func (c *client) replay(name string) error {
	discover, err := captured(name, dhcpv4.MessageTypeDiscover, c.mac)
	if err != nil {
		return err
	}
	request, err := captured(name, dhcpv4.MessageTypeRequest, c.mac)
	if err != nil {
		request = discover.asRequest()
	}
	if _, err := rand.Read(discover[atXID:][:4]); err != nil {
		return err
	}
	copy(request[atXID:], discover[atXID:][:4])
	return c.lease(discover, func(offer *dhcpv4.DHCPv4) ([]byte, error) {
		copy(request.option(dhcpv4.OptionRequestedIPAddress, 4), offer.YourIPAddr.To4())
		copy(request.option(dhcpv4.OptionServerIdentifier, 4), offer.ServerIdentifier().To4())
		return request, nil
	})
}

// isAnswer reports whether a message answers p.
func isAnswer(p []byte, m *dhcpv4.DHCPv4) bool {
	return bytes.Equal(p[atXID:][:4], m.TransactionID[:])
}
