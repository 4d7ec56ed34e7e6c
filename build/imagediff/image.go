package imagediff

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// The MBR: sector 0.
const (
	sector    = 512
	diskIDAt  = 440
	tableAt   = 446
	entrySize = 16
	signature = 0xAA55 // in the last two bytes
)

// image is an open image.
type image struct {
	file   *os.File
	size   int64 // bytes
	mbr    []byte
	diskID uint32
	parts  [4]partition
}

// partition is one of the primaries.
type partition struct {
	name   string // what tench uses it for
	active bool
	kind   byte  // MBR type
	start  int64 // bytes from the start of the image
	size   int64 // bytes; 0 where there is no partition
}

func (p partition) String() string {
	if p.size == 0 {
		return "none"
	}
	active := ""
	if p.active {
		active = ", active"
	}
	return fmt.Sprintf("type %02x at sector %d, %d sectors%s", p.kind, p.start/sector, p.size/sector, active)
}

// names are what build/disk puts where.
var names = [4]string{"boot", "slot a", "slot b", "data"}

const slotA, slotB = 1, 2 // in names

// open opens an image and reads its partition table.
func open(path string) (image, error) {
	f, err := os.Open(path)
	if err != nil {
		return image{}, err
	}
	if strings.HasSuffix(path, ".zst") {
		packed := f
		f, err = unpacked(packed)
		packed.Close()
		if err != nil {
			return image{}, fmt.Errorf("unpack %s: %w", path, err)
		}
	}
	m, err := newImage(f)
	if err != nil {
		f.Close()
		return image{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// maxImage is the size beyond which a packed image is not believed.
const maxImage = 16 << 30

// unpacked is the content of a zstd file in a temporary file without a name.
// Zeros become holes.
func unpacked(packed io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "tench-diff-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil { // first, so that whoever is killed leaves nothing
		f.Close()
		return nil, err
	}
	size, err := unpackInto(f, packed)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func unpackInto(f *os.File, packed io.Reader) (int64, error) {
	z, err := zstd.NewReader(packed, zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return 0, err
	}
	defer z.Close()
	b, zeros := make([]byte, 1<<16), make([]byte, 1<<16)
	for at := int64(0); ; {
		n, err := fill(z, b)
		if err != nil {
			return 0, err
		}
		if mismatch(b[:n], zeros[:n]) >= 0 {
			if _, err := f.WriteAt(b[:n], at); err != nil {
				return 0, err
			}
		}
		if at += int64(n); at > maxImage {
			return 0, fmt.Errorf("it is larger than %d GiB", maxImage>>30)
		}
		if n < len(b) {
			return at, nil
		}
	}
}

func newImage(f *os.File) (image, error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return image{}, err
	}
	mbr := make([]byte, sector)
	if _, err := f.ReadAt(mbr, 0); err != nil {
		return image{}, fmt.Errorf("no image: it has %d bytes, less than a sector", size)
	}
	m := image{file: f, size: size, mbr: mbr, diskID: binary.LittleEndian.Uint32(mbr[diskIDAt:])}
	m.parts, err = parseTable(mbr, size)
	return m, err
}

// parseTable reads the four primaries. A partition in sector 0, outside of the
// image or over another one is an error.
func parseTable(mbr []byte, size int64) (parts [4]partition, err error) {
	if s := binary.LittleEndian.Uint16(mbr[sector-2:]); s != signature {
		return parts, fmt.Errorf("no partition table: sector 0 ends with %04x, not %04x", s, signature)
	}
	for i := range parts {
		e := mbr[tableAt+i*entrySize:]
		p := partition{name: names[i], active: e[0] == 0x80, kind: e[4],
			start: int64(binary.LittleEndian.Uint32(e[8:])) * sector, size: int64(binary.LittleEndian.Uint32(e[12:])) * sector}
		if p.size == 0 {
			continue
		}
		if p.start == 0 || p.start+p.size > size {
			return parts, fmt.Errorf("partition %d: %s, is not within the image of %d sectors\nhint: was the file copied whole?", i+1, p, size/sector)
		}
		for j, other := range parts[:i] {
			if p.start < other.start+other.size && other.start < p.start+p.size {
				return parts, fmt.Errorf("partition %d lies over partition %d", i+1, j+1)
			}
		}
		parts[i] = p
	}
	return parts, nil
}

// section is the partition's bytes.
func (m image) section(p partition) *io.SectionReader {
	return io.NewSectionReader(m.file, p.start, p.size)
}

// gapEnd is where the first partition begins.
func (m image) gapEnd() int64 {
	end := m.size
	for _, p := range m.parts {
		if p.size > 0 {
			end = min(end, p.start)
		}
	}
	return max(end, sector)
}
