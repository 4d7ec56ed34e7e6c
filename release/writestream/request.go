package writestream

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Request says which stream a box asks for.
type Request struct {
	Disk string // the kernel's name of the disk, e.g. "sda"
	Size int64  // bytes of the medium: of the disk, or of the slot
	// Slot asks for kernel and initramfs alone, for a partition in which they are
	// a slot; without it, for a whole disk with the box's identity.
	Slot bool
	// OldAt and OldSize are where the data partition of a disk of ours was, which
	// has secrets: what of it is not written over is cleared. Both are 0 for none.
	OldAt, OldSize int64
}

// diskRE is what the kernel calls disks.
var diskRE = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

// Query is the request as the query of a URL, e.g. "disk=sda&size=1073741824".
func (r Request) Query() string {
	text := fmt.Sprintf("disk=%s&size=%d", r.Disk, r.Size)
	if r.Slot {
		text += "&slot=1"
	}
	if r.OldSize > 0 {
		text += fmt.Sprintf("&old=%d,%d", r.OldAt, r.OldSize)
	}
	return text
}

// ParseRequest reads the query of a URL. Nothing that Query writes needs an
// escape, so that none is taken.
func ParseRequest(query string) (Request, error) {
	var r Request
	seen := map[string]bool{}
	for _, word := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(word, "=")
		if seen[key] {
			return Request{}, fmt.Errorf("write stream: %.20q is there twice", key)
		}
		seen[key] = true
		var err error
		switch key {
		case "disk":
			r.Disk = value
		case "size":
			r.Size, err = parseSize(value)
		case "slot":
			if r.Slot = value == "1"; !r.Slot {
				err = fmt.Errorf("it can only be 1")
			}
		case "old":
			at, size, _ := strings.Cut(value, ",")
			if r.OldAt, err = parseSize(at); err == nil {
				r.OldSize, err = parseSize(size)
			}
		default:
			return Request{}, fmt.Errorf("write stream: %.20q is not disk, size, slot or old", key)
		}
		if err != nil {
			return Request{}, fmt.Errorf("write stream: %s=%.40q: %w", key, value, err)
		}
	}
	if !diskRE.MatchString(r.Disk) || r.Size == 0 {
		return Request{}, fmt.Errorf("write stream: disk=%.40q and size=%d: both are needed, e.g. disk=sda&size=1073741824", r.Disk, r.Size)
	}
	if r.OldSize > 0 && r.OldAt+r.OldSize > r.Size {
		return Request{}, fmt.Errorf("write stream: old=%d,%d is beyond the %d bytes of the disk", r.OldAt, r.OldSize, r.Size)
	}
	return r, nil
}

func parseSize(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 || n > MaxSize || n%Sector != 0 {
		return 0, fmt.Errorf("it is no number of bytes in whole sectors up to %d", int64(MaxSize))
	}
	return n, nil
}
