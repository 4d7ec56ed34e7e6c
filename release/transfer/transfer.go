// Package transfer is how a slot image travels from the desk to a box: the
// protocol that `tench update` and `tenchd update -` speak over the standard
// streams of an SSH session.
//
//	transfer.go  the conversation, its messages and their limits
//	wire.go      messages as bytes, and back: pure
//	body.go      what is in the bodies of messages: pure
//	conn.go      Conn: messages over a stream
//	sums.go      hashes of a slot's blocks
//	plan.go      Plan: what of an image has to be sent
//	image.go     SendImage and Image: the image as orders, and back
//
// The conversation, with the desk's messages on the left:
//
//	                  hello       version, board, what runs, the slot's size, the
//	                              keys that may sign, what is there of an update
//	offer                         ticket and size
//	                  accept      or fail: nothing was written
//	probe (any size)  probe       to measure the line; both may be repeated
//	ask (a slot)      sums …      hashes of its blocks, an empty one ends them
//	data copy keep zero … end     the image in order, from its first byte
//	                  step …      what the box does with it, and how far it is
//	                  done        or fail
//
// The box says fail at any time, with the reason, and ends. Whatever either
// side sends is bounded by its kind, and a message that does not belong where it
// comes is an error. Nothing here is secret or proves anything: SSH protects
// the line, and the ticket's hash the image.
package transfer

import "tench/release/slotimage"

// Version of the protocol. It rises when an older side would misread a newer.
const Version = 1

// Kind is what a message is.
type Kind byte

// The kinds. Those of the desk are upper case.
const (
	Offer Kind = 'O' // OfferBody
	Probe Kind = 'P' // any bytes; answered by Pong
	Ask   Kind = 'A' // a slot's letter
	Data  Kind = 'D' // bytes of the image
	Copy  Kind = 'C' // Range of blocks of the slot that runs
	Keep  Kind = 'K' // Range, of which Count says how many blocks lie there already
	Zero  Kind = 'Z' // Range, of which Count says how many blocks of zeros follow
	End   Kind = 'E'

	Hello  Kind = 'h' // HelloBody
	Accept Kind = 'a'
	Pong   Kind = 'p'
	Sums   Kind = 's' // hashes of consecutive blocks
	Step   Kind = 't' // StepBody
	Done   Kind = 'd' // DoneBody
	Fail   Kind = 'f' // the reason, for a person
)

// Limits.
const (
	chunk    = 64 << 10  // bytes of the largest Data
	maxProbe = 512 << 10 // bytes of the largest Probe
	// MaxImage is the largest image in bytes; boards have slots of up to 512 MiB.
	MaxImage = 512 << 20
	maxBlock = MaxImage / slotimage.BlockSize
)

// limits are the longest bodies in bytes. A kind that is not here is unknown.
var limits = map[Kind]int{
	Offer: 2 * slotimage.MaxTicket, // JSON escapes the ticket's ends of lines
	Probe: maxProbe, Ask: 1, Data: chunk, Copy: rangeSize, Keep: rangeSize, Zero: rangeSize, End: 0,
	Hello: 64 << 10, Accept: 0, Pong: 0, Sums: chunk / sumSize * sumSize, Step: 4 << 10, Done: 4 << 10, Fail: 16 << 10,
}
