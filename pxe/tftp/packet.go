package tftp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tench/pxe/event"
)

// Opcodes of RFC 1350 section 5 and RFC 2347.
const (
	opRRQ   = 1
	opWRQ   = 2
	opDATA  = 3
	opACK   = 4
	opERROR = 5
	opOACK  = 6
)

// Error codes of RFC 1350's appendix.
const (
	errorUndefined = 0
	errorNotFound  = 1
	errorAccess    = 2
	errorIllegal   = 4
	errorUnknownID = 5
)

// header is the length of a DATA packet without its data, and of an ACK.
const header = 4

// maxOptions is how many options a request may have. RFCs know five.
const maxOptions = 16

// request is a read or a write request.
type request struct {
	write   bool
	name    string // as it came
	mode    string // in lower case
	options []option
}

// option is one of RFC 2347. Its name is in lower case.
type option struct{ name, value string }

// equal reports whether other could be the same datagram once more.
func (r request) equal(other request) bool {
	return r.write == other.write && r.name == other.name && r.mode == other.mode && slices.Equal(r.options, other.options)
}

// option is the value of the option called name.
func (r request) option(name string) (value string, ok bool) {
	for _, o := range r.options {
		if o.name == name {
			return o.value, true
		}
	}
	return "", false
}

var (
	errNoRequest = errors.New("no request")
	errMalformed = errors.New("malformed request")
)

// parseRequest reads what came to the server's port: errNoRequest is what
// deserves no answer, errMalformed what does. Zeros behind the last option are
// padding, an option that is there twice counts once.
func parseRequest(p []byte) (request, error) {
	if len(p) < 2 {
		return request{}, errNoRequest
	}
	op := binary.BigEndian.Uint16(p)
	if op != opRRQ && op != opWRQ {
		return request{}, errNoRequest
	}
	name, rest, ok1 := strings.Cut(string(p[2:]), "\x00")
	mode, rest, ok2 := strings.Cut(rest, "\x00")
	if !ok1 || !ok2 || name == "" {
		return request{}, errMalformed
	}
	r := request{write: op == opWRQ, name: name, mode: strings.ToLower(mode)}
	for strings.Trim(rest, "\x00") != "" {
		var o option
		o.name, rest, ok1 = strings.Cut(rest, "\x00")
		o.value, rest, ok2 = strings.Cut(rest, "\x00")
		if !ok1 || !ok2 || len(r.options) == maxOptions {
			return request{}, errMalformed
		}
		o.name = strings.ToLower(o.name)
		if _, twice := r.option(o.name); !twice {
			r.options = append(r.options, o)
		}
	}
	return r, nil
}

// appendRequest is the packet that parseRequest reads.
func appendRequest(p []byte, r request) []byte {
	op := uint16(opRRQ)
	if r.write {
		op = opWRQ
	}
	p = binary.BigEndian.AppendUint16(p, op)
	p = append(append(p, r.name...), 0)
	p = append(append(p, r.mode...), 0)
	return appendOptions(p, r.options)
}

// appendOACK acknowledges options, RFC 2347.
func appendOACK(p []byte, options []option) []byte {
	return appendOptions(binary.BigEndian.AppendUint16(p, opOACK), options)
}

func appendOptions(p []byte, options []option) []byte {
	for _, o := range options {
		p = append(append(p, o.name...), 0)
		p = append(append(p, o.value...), 0)
	}
	return p
}

// appendError is an ERROR packet. Its text never holds a path.
func appendError(p []byte, code uint16, text string) []byte {
	p = binary.BigEndian.AppendUint16(p, opERROR)
	p = binary.BigEndian.AppendUint16(p, code)
	return append(append(p, text...), 0)
}

// reply is what a client sends to a transfer's port.
type reply struct {
	op    int    // opACK or opERROR
	block uint16 // of an ACK
	text  string // of an ERROR, for people, e.g. "error 8: User aborted the transfer"
}

// parseReply reads an ACK or an ERROR; anything else is noise.
func parseReply(p []byte) (reply, bool) {
	if len(p) < header {
		return reply{}, false
	}
	number := binary.BigEndian.Uint16(p[2:])
	switch binary.BigEndian.Uint16(p) {
	case opACK:
		return reply{op: opACK, block: number}, true
	case opERROR:
		text, _, _ := strings.Cut(string(p[4:]), "\x00")
		return reply{op: opERROR, text: fmt.Sprintf("error %d: %s", number, event.Plain(text, 100))}, true
	}
	return reply{}, false
}
