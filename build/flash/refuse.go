package flash

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dustin/go-humanize"
)

// large is the size in bytes beyond which a stick is more likely somebody's
// archive than a router's.
const large = 256 << 30

// Request is what is asked of a device.
type Request struct {
	Size  int64  // bytes of the image; 0 for any
	Fixed string // handle of the device that may be fixed, and large
}

// refusals are the reasons not to write to a device, the gravest first. Each
// returns "" where it does not apply.
var refusals = []func(Device, Request) string{
	func(d Device, _ Request) string {
		if d.notADisk == "" {
			return ""
		}
		return "it is " + d.notADisk + ", not a whole disk"
	},
	func(d Device, _ Request) string {
		if d.Size > 0 {
			return ""
		}
		return "there is no medium in it"
	},
	func(d Device, _ Request) string {
		if len(d.Uses) == 0 {
			return ""
		}
		return "it is in use: " + strings.Join(d.Uses, "; ")
	},
	func(d Device, _ Request) string {
		if !d.readOnly {
			return ""
		}
		return "it is read-only\nhint: cards have a switch for that; a worn out stick becomes so for ever"
	},
	func(d Device, _ Request) string {
		if d.sectorSize == sector {
			return ""
		}
		return fmt.Sprintf("its sectors have %d bytes; the image's partition table counts %d", d.sectorSize, sector)
	},
	func(d Device, r Request) string {
		if d.Size >= r.Size {
			return ""
		}
		return fmt.Sprintf("it has %s, which is too small for the image of %s", humanize.IBytes(uint64(d.Size)), humanize.IBytes(uint64(r.Size)))
	},
	func(d Device, r Request) string {
		if r.Fixed == "" || strings.EqualFold(r.Fixed, d.Handle()) {
			return ""
		}
		return fmt.Sprintf("--fixed names %q, but this is %q", r.Fixed, d.Handle())
	},
	func(d Device, r Request) string {
		if d.Removable || r.Fixed != "" {
			return ""
		}
		return fmt.Sprintf("it is a fixed disk\nhint: if it is the right one, name it: --fixed %q", d.Handle())
	},
	func(d Device, r Request) string {
		if d.Size <= large || r.Fixed != "" {
			return ""
		}
		return fmt.Sprintf("it has %s, which is much for a router\nhint: if it is the right one, name it: --fixed %q", humanize.Bytes(uint64(d.Size)), d.Handle())
	},
}

// Refuse is the reason not to write to the device; nil where there is none.
func (d Device) Refuse(r Request) error {
	for _, reason := range refusals {
		if text := reason(d, r); text != "" {
			return fmt.Errorf("flash: %s: %s", d.Path, text)
		}
	}
	return nil
}

// RefuseLabel is the reason not to write an image over what a target says of
// itself; was is the board that it may be of.
func RefuseLabel(target string, on, image Label, was string) error {
	if on.Board == image.Board || on.Board == was {
		return nil
	}
	return fmt.Errorf("flash: %s: it is a stick of board %s, the image is for %s\nhint: if it is the right one: --was %[2]s", target, on.Board, image.Board)
}

// withoutPath is the cause of a file's error: the caller names the file.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
