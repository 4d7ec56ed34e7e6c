// Package unit holds the words that the box's parts speak with each other:
// Unit, what the box keeps alive; Event, what a unit reports; Facts, what is so
// right now. It decides nothing.
//
//	unit.go   Unit and Event
//	facts.go  Facts and what they are made of
package unit

import "context"

// Unit is one thing the box keeps alive: a DHCP client, a tunnel, a daemon.
// Units only report; what follows from a report is decided elsewhere.
type Unit interface {
	// String names the unit in logs and in `tenchd why`, e.g. "dhcp wan".
	String() string
	// Run works until ctx ends, and reports through events. It returns only
	// when ctx has ended or when it cannot go on; the loop then starts it again.
	Run(ctx context.Context, events chan<- Event) error
}

// Event is something that a unit, the kernel or an operator told the loop. The
// loop applies it to the Facts and recomputes what is desired from all of them,
// so an event that is lost or early does no harm.
type Event struct {
	From  string       // String of the unit, e.g. "dhcp wan"
	Text  string       // one line for the log; empty logs nothing
	Apply func(*Facts) // changes the Facts, run by the loop alone; nil only wakes it
}
