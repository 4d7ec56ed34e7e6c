package tftp

import "strconv"

// What is granted at most.
const (
	plainBlock = 512   // bytes of a block, without options
	maxBlock   = 65464 // RFC 2348
	maxWindow  = 64    // blocks; clients of tftp-hpa's family stumble over more
)

// terms are what a transfer was agreed on.
type terms struct {
	block  int      // bytes of data in a block
	window int      // blocks that need only one acknowledgement, RFC 7440
	grant  []option // what is acknowledged; none: the transfer starts with block 1
}

// negotiate grants what r asks for, in the client's order: some old clients are
// particular. A value that the option's RFC does not allow is as if it had not
// been asked for. largest is the block that goes through the network in one
// piece.
//
// timeout is granted because it costs nothing: our own retransmission adapts to
// the client, and never waits longer than the second that is the option's
// least value.
func negotiate(r request, size int64, largest int) terms {
	t := terms{block: plainBlock, window: 1}
	for _, o := range r.options {
		n, err := strconv.ParseInt(o.value, 10, 64)
		if err != nil {
			continue
		}
		switch {
		case o.name == "blksize" && n >= 8 && n <= maxBlock:
			n = min(n, int64(largest))
			t.block = int(n)
		case o.name == "windowsize" && n >= 1 && n <= 65535:
			n = min(n, maxWindow)
			t.window = int(n)
		case o.name == "timeout" && n >= 1 && n <= 255:
		case o.name == "tsize" && n >= 0 && size > 0: // curl takes a 0 for an error
			n = size
		default:
			continue
		}
		t.grant = append(t.grant, option{o.name, strconv.FormatInt(n, 10)})
	}
	return t
}

// largestBlock is the data that one packet of an interface with this MTU takes,
// without being cut into fragments, which PXE ROMs do not put together again.
func largestBlock(mtu int, v6 bool) int {
	headers := 20 + 8 + header // IPv4, UDP, TFTP
	if v6 {
		headers += 20
	}
	return min(max(mtu-headers, plainBlock), maxBlock)
}
