package tftp

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"sync/atomic"
	"time"

	"tench/pxe/event"
)

const (
	// glance is how much of a file a loader reads of which it only wants to know
	// what it is: if it ends with an ERROR before that, nothing has failed.
	glance = 64 << 10
	// progress is how often a transfer is reported.
	progress = 500 * time.Millisecond
	// linger is how long is read what a client sent before it went on: it is there
	// already, but a busy machine may take this long to come to it.
	linger = 50 * time.Millisecond
	// maxStrangers is how many packets from a wrong port are answered.
	maxStrangers = 8
)

// transfer sends one file. Its goroutine owns all but the atomic fields.
type transfer struct {
	*server
	client  netip.AddrPort
	request request
	name    string
	port    *port
	thread  bool      // it waits in one of its own
	ahead   int       // bytes of the file to read at once
	before  *transfer // an older one to the same port of the client; nil: none

	heard    atomic.Bool // the client has acknowledged something
	again    atomic.Bool // it sent its request again
	obsolete atomic.Bool // it has gone on with a newer transfer

	file      File
	terms     terms
	sender    *sender
	volley    *volley
	buffer    [512]byte // what the client sends
	reported  time.Time // when progress was last reported; zero: never
	strangers int
}

// run sends the file, and closes what was opened.
func (t *transfer) run(ctx context.Context) {
	defer t.port.close()
	stop := context.AfterFunc(ctx, t.port.wake)
	defer stop()
	file, err := t.open()
	if err != nil {
		t.refuse(err)
		return
	}
	defer file.Close()
	t.file = file
	t.terms = negotiate(t.request, file.Size(), t.largest)
	t.volley = newVolley(t.port, file, t.terms.block, t.ahead)
	t.sender = newSender(file.Size(), t.terms)
	if err := t.send(t.sender.begin(t.Now())); err != nil {
		t.fail(err)
		return
	}
	for ctx.Err() == nil && !t.sender.over && !t.obsolete.Load() {
		if end := t.step(); end {
			return
		}
	}
	switch {
	case t.sender.silent && t.sender.over:
		t.report(event.Transfer, "its last acknowledgement never came")
	case t.sender.over:
		t.report(event.Transfer, "")
	case t.obsolete.Load():
		t.overtaken()
	case ctx.Err() != nil:
		t.lost("the server stops")
		t.port.write(appendError(nil, errorUndefined, "the server stops"))
	}
}

// open finds the file, in the form that its mode calls for.
func (t *transfer) open() (File, error) {
	file, err := t.Open(t.client, t.name)
	if err != nil || t.request.mode == "octet" {
		return file, err
	}
	defer file.Close()
	return netascii(file)
}

// refuse answers a request for a file that cannot be opened.
func (t *transfer) refuse(err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.report(event.Missing, "")
		t.port.write(appendError(nil, errorNotFound, "file not found"))
	case errors.Is(err, fs.ErrPermission):
		t.report(event.Refused, err.Error())
		t.port.write(appendError(nil, errorAccess, "access violation"))
	case errors.Is(err, errNotText):
		t.report(event.Refused, err.Error())
		t.port.write(appendError(nil, errorIllegal, err.Error()))
	default:
		t.fail(err)
	}
}

// fail ends the transfer for a reason on our side.
func (t *transfer) fail(err error) {
	t.report(event.Trouble, err.Error())
	t.port.write(appendError(nil, errorUndefined, "the server cannot read this file"))
}

// step waits for the client once. It returns whether the transfer ended early.
func (t *transfer) step() (end bool) {
	p := t.buffer[:]
	if t.again.Swap(false) && !t.sender.heard {
		return t.sendOrFail(t.sender.remind(t.Now()))
	}
	n, clients, got := t.port.receive(p, t.sender.deadline())
	now := t.Now()
	switch {
	case !got && now.Before(t.sender.deadline()):
		return false // somebody woke us
	case !got:
		return t.sendOrFail(t.sender.late(now))
	case !clients:
		t.stranger(p[:n])
		return false
	}
	r, ok := parseReply(p[:n])
	switch {
	case !ok:
		return false
	case r.op == opERROR:
		t.gaveUp(r.text)
		return true
	}
	return t.acknowledged(now, t.sender.ack(now, r.block))
}

// acknowledged goes on after an ACK.
func (t *transfer) acknowledged(now time.Time, next span) (end bool) {
	if t.sender.heard && !t.heard.Swap(true) && t.before != nil {
		t.before.obsolete.Store(true)
		t.before.port.wake()
		t.before = nil
	}
	if t.sender.over {
		return false
	}
	if t.sender.base >= 0 && now.Sub(t.reported) >= progress {
		t.report(event.Transfer, "")
	}
	return t.sendOrFail(next)
}

// sendOrFail sends blocks. It returns whether the transfer ended.
func (t *transfer) sendOrFail(blocks span) (end bool) {
	if t.sender.silent {
		if !t.sender.over {
			t.lost("the box no longer answers")
		}
		return !t.sender.over
	}
	if err := t.send(blocks); err != nil {
		t.fail(err)
		return true
	}
	return false
}

// send sends blocks; an error is one of the file.
func (t *transfer) send(blocks span) error {
	if blocks == nothing {
		return nil
	}
	for block := blocks.first; block <= blocks.last; block++ {
		if block == 0 {
			t.port.write(appendOACK(nil, t.terms.grant))
			continue
		}
		if err := t.volley.add(block); err != nil {
			return err
		}
	}
	t.volley.fire()
	t.sender.sent(t.Now())
	return nil
}

// stranger answers a packet that is not the client's: RFC 1350 section 4 has
// ERROR 5 for it, and the transfer goes on.
func (t *transfer) stranger(p []byte) {
	if r, ok := parseReply(p); ok && r.op == opERROR || t.strangers == maxStrangers {
		return
	}
	t.strangers++
	t.port.reply(appendError(nil, errorUnknownID, "unknown transfer"))
}

// doubled reports whether this is, as far as we know, the answer to a request that
// the network doubled or delayed: the client goes on with the first, and how this
// one ends says nothing about it.
func (t *transfer) doubled() bool { return t.before != nil && t.before.request.equal(t.request) }

// lost says that the transfer ends without a word of the client.
func (t *transfer) lost(text string) {
	if !t.doubled() {
		t.report(event.Aborted, text)
	}
}

// gaveUp takes the client's ERROR, which is not answered.
func (t *transfer) gaveUp(text string) {
	switch {
	case t.doubled():
	case t.acked() < min(glance, t.file.Size()):
		t.report(event.Probe, text)
	default:
		t.report(event.Aborted, "the box gave up: "+text)
	}
}

// overtaken ends a transfer whose client has gone on with another request. What
// it sent before is still looked at. If all was sent then it has all: its last ACK
// was lost.
func (t *transfer) overtaken() {
	all := t.sender.top == t.sender.blocks
	for until := time.Now().Add(linger); !t.sender.over && time.Now().Before(until); {
		n, clients, got := t.port.receive(t.buffer[:], until)
		r, ok := parseReply(t.buffer[:n])
		switch {
		case !got || !ok || !clients:
		case r.op == opERROR:
			t.gaveUp(r.text)
			return
		default:
			t.sender.ack(t.Now(), r.block)
		}
	}
	if !all {
		t.gaveUp("it asked for something else")
		return
	}
	t.sender.base = t.sender.blocks
	t.report(event.Transfer, "")
}

// acked is how many bytes of the file the client has.
func (t *transfer) acked() int64 {
	if t.sender == nil {
		return 0
	}
	return min(max(t.sender.base, 0)*int64(t.terms.block), t.file.Size())
}

// report sends an event about the transfer.
func (t *transfer) report(kind event.Kind, text string) {
	e := event.Event{Time: t.Now(), IP: t.client.Addr(), Kind: kind, File: t.name, Text: text}
	if t.file != nil {
		e.Done, e.Total = t.acked(), t.file.Size()
	}
	if kind == event.Transfer {
		t.reported = e.Time
	}
	t.Sink.Send(e)
}

// remind is called by others.
func (t *transfer) remind() {
	t.again.Store(true)
	t.port.wake()
}
