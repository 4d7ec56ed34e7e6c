// Package event is what happens between a box that boots over the network and
// the servers on the desk, as small values. DHCP, TFTP and HTTP say it, each for
// itself; pxe/track makes a stage of it, the terminal and the page show it. The
// package knows nobody of them.
//
//	event.go  Event, Kind, Sink
//	mac.go    MAC: which box
//	plain.go  Plain: foreign text that is harmless
//
// The texts of an event come from the network: file names that a box asked for,
// names it gave itself. Whoever prints them makes them harmless first, by Plain.
package event

import (
	"net/netip"
	"time"

	"tench/release/netboot"
)

// Event is one thing that happened. Which fields are set depends on the kind;
// the zero value of a field says nothing.
type Event struct {
	Time time.Time `json:"time"`
	// Box is whom it happened to; zero where only the address is known, or
	// nobody in particular (Foreign).
	Box MAC `json:"box,omitzero"`
	// IP is the box's address, or of Foreign the other server's.
	IP   netip.Addr `json:"ip,omitzero"`
	Kind Kind       `json:"kind"`
	// Loader is who asks, with the kind Discover: dhcp.Client's Loader, e.g. "" for
	// the firmware, "iPXE", or System. It tells a box that starts again from one
	// whose loader or system asks for an address of its own.
	Loader string `json:"loader,omitempty"`
	// File is what the box asked for, or was told to ask for: a TFTP name or an
	// URL's path.
	File string `json:"file,omitempty"`
	// Done and Total are bytes; a Total of 0 is not known.
	Done  int64 `json:"done,omitempty"`
	Total int64 `json:"total,omitempty"`
	// Stage is what the installer is at, with the kind Installer.
	Stage netboot.Stage `json:"stage,omitempty"`
	// Rule is what decided about an answer, or that there is none, for
	// `tench pxe explain`, e.g. "gw0 in boxes.toml: install".
	Rule string `json:"rule,omitempty"`
	// Text says the rest in words.
	Text string `json:"text,omitempty"`
}

// System is the Loader of a client that wants an address and no boot file: an
// operating system.
const System = "system"

// Kind is what happened.
type Kind string

// The kinds, in the order of a boot. A server that has several things to say of
// one packet sends several events.
const (
	Discover  Kind = "discover"  // the box asks for an address or a boot server; Text: who asks, e.g. "iPXE, x86 BIOS"
	Offer     Kind = "offer"     // we offered IP and File
	Request   Kind = "request"   // the box took an offer of ours
	Ack       Kind = "ack"       // it has IP from us, and was told File
	Nak       Kind = "nak"       // it wanted IP and may not have it, so that it asks anew; Text: why
	Decline   Kind = "decline"   // it says that somebody else uses IP
	Elsewhere Kind = "elsewhere" // it took the offer of another server, whose address is in Text
	Proxy     Kind = "proxy"     // we told it File beside another DHCP server, on port 67 or 4011
	Silent    Kind = "silent"    // we did not answer; Text: why
	Disk      Kind = "disk"      // we told it to boot its disk
	Solicit   Kind = "solicit"   // it asked for a router, and got our advertisement

	Probe    Kind = "probe"    // it asked for the size of File, no more: normal
	Missing  Kind = "missing"  // it asked for File, which is not there: normal
	Transfer Kind = "transfer" // File is on its way: at the start, while it lasts and at its end, where Done is Total
	Aborted  Kind = "aborted"  // File broke off at Done; Text: why
	Refused  Kind = "refused"  // it asked for what it may not have; Text: why

	Installer Kind = "installer" // the installer reported: Stage, Done, Total, Text
	Ready     Kind = "ready"     // tenchd has the configured network, at a run or after an install
	Healthy   Kind = "healthy"   // tenchd calls the box healthy

	Armed    Kind = "armed"    // an install was armed; Text: of what
	Disarmed Kind = "disarmed" // it was taken back
	Written  Kind = "written"  // the installer has read back what it wrote: the token is dead
	Failed   Kind = "failed"   // the install is given up; Text: at what

	Foreign Kind = "foreign" // another DHCP server was heard; IP: its address
	Serving Kind = "serving" // a server started; Text: what and where
	Trouble Kind = "trouble" // something is wrong on the desk itself; Text: what
)

// Sink takes events. It never blocks and may be called by many at once. The nil
// Sink of a server nobody listens to takes them as well, by Send.
type Sink func(Event)

// Send passes e on; a nil Sink drops it.
func (s Sink) Send(e Event) {
	if s != nil {
		s(e)
	}
}
