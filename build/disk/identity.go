package disk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Identity is what makes an image this image and no other: the same Identity
// and the same files give the same bytes.
type Identity struct {
	Seed    string    // names release and board, e.g. "2026.11/qemu-amd64"; all ids come from it
	Epoch   time.Time // time stamp of every file, 1980 to 2037, in UTC
	Release string    // e.g. "2026.11"; letters, digits and . _ + ~ -
}

var releaseRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)

// check refuses what the file systems or the kernel's command line cannot hold:
// FAT counts years from 1980, ext4 here seconds in 32 bits.
func (id Identity) check() error {
	if id.Seed == "" {
		return errors.New("identity: the seed is empty")
	}
	if !releaseRE.MatchString(id.Release) {
		return fmt.Errorf("identity: release %q: up to 64 of letters, digits and . _ + ~ - are allowed", id.Release)
	}
	if y := id.Epoch.UTC().Year(); y < 1980 || y > 2037 {
		return fmt.Errorf("identity: epoch %s: its year is not between 1980 and 2037", id.Epoch.UTC().Format(time.RFC3339))
	}
	return nil
}

// derive returns 32 bytes that depend on the seed and on what they are for.
func (id Identity) derive(purpose string) []byte {
	mac := hmac.New(sha256.New, []byte(id.Seed))
	mac.Write([]byte(purpose))
	return mac.Sum(nil)
}

// number derives a 32-bit id that is never 0, because 0 means "none" in an MBR
// and in a FAT.
func (id Identity) number(purpose string) uint32 {
	return max(1, binary.LittleEndian.Uint32(id.derive(purpose)))
}

// DiskID is the MBR disk id, bytes 440 to 443 of the disk.
func (id Identity) DiskID() uint32 { return id.number("disk") }

// uuid derives a UUID of version 8, "vendor specific" (RFC 9562, section 5.8).
func (id Identity) uuid(purpose string) string {
	b := id.derive(purpose)[:16]
	b[6] = b[6]&0x0f | 0x80
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
