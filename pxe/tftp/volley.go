package tftp

import (
	"encoding/binary"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxVolley is how many packets go out with one system call: enough that its cost
// does not matter.
const maxVolley = 16

// How many bytes of its file a transfer reads at once: few transfers as much as
// makes the reading cheap, many of them little, so that a thousand need some 10 MB.
// A block may be larger.
const (
	leastAhead = 8 << 10
	mostAhead  = 64 << 10
	allAhead   = 2 << 20 // what is shared, until it is the least for each
)

// readAhead is a transfer's share where there are so many.
func readAhead(transfers int) int {
	return min(max(allAhead/max(transfers, 1), leastAhead), mostAhead)
}

// volley sends DATA packets, several at once (sendmmsg), and reads the file for
// several at once: most of a server's work is otherwise the system calls.
type volley struct {
	port *port
	file File
	size int64
	room int // bytes of data in a block

	ahead   []byte // of the file
	at      int64  // where in the file that is
	headers [maxVolley][header]byte
	parts   [2 * maxVolley]unix.Iovec // a header and its data each
	packets [maxVolley]unix.Mmsghdr
	n       int // packets that are ready; their data are in ahead
}

// newVolley is for a file that is read ahead bytes at a time, in whole blocks.
func newVolley(p *port, file File, block, ahead int) *volley {
	v := &volley{port: p, file: file, size: file.Size(), room: block}
	// The kernel puts a large packet, header and all, at the start of a page. With
	// the data where they will be there, behind a header, copying them is cheaper:
	// a sixth of what 64 KiB cost the server.
	v.ahead = make([]byte, header, header+min(int64(max(ahead/block, 1)*block), v.size))[header:]
	for i := range v.packets {
		h := &v.packets[i].Hdr
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&p.client)), p.length
		h.Iov = &v.parts[2*i]
		v.parts[2*i].Base = &v.headers[i][0]
		v.parts[2*i].SetLen(header)
	}
	return v
}

// add gets the packet of a block ready; an error is one of the file.
func (v *volley) add(block int64) error {
	if v.n == maxVolley {
		v.fire()
	}
	at := (block - 1) * int64(v.room)
	data, err := v.read(at, int(min(int64(v.room), v.size-at)))
	if err != nil {
		return err
	}
	h := v.headers[v.n][:]
	binary.BigEndian.PutUint16(h, opDATA)
	binary.BigEndian.PutUint16(h[2:], uint16(block))
	parts := 1 // of the empty block that ends some files
	if len(data) > 0 {
		parts = 2
		v.parts[2*v.n+1].Base = &data[0]
		v.parts[2*v.n+1].SetLen(len(data))
	}
	v.packets[v.n].Hdr.SetIovlen(parts)
	v.n++
	return nil
}

// read returns n bytes of the file, which are good until fire.
func (v *volley) read(at int64, n int) ([]byte, error) {
	if from := at - v.at; from >= 0 && from+int64(n) <= int64(len(v.ahead)) {
		return v.ahead[from:][:n], nil
	}
	v.fire()
	v.at, v.ahead = at, v.ahead[:min(int64(cap(v.ahead)), v.size-at)]
	got, err := v.file.ReadAt(v.ahead, at)
	v.ahead = v.ahead[:got] // what is missing may never be asked for
	switch {
	case got >= n:
		return v.ahead[:n], nil
	case err == nil || err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return nil, err
}

// fire sends what is ready.
func (v *volley) fire() {
	if v.n > 0 {
		v.port.send(v.packets[:v.n])
		v.n = 0
	}
}
