package pxe

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Where things are in a kernel that is a program of UEFI and unpacks itself, in
// bytes from its start (Linux, drivers/firmware/efi/libstub/zboot-header.S).
const (
	zbootMagic  = "zimg"
	zbootTypeAt = 4  // the magic
	zbootFromAt = 8  // where the packed kernel begins, 32 bits
	zbootSizeAt = 12 // how long that is, 32 bits
	zbootHowAt  = 24 // how it is packed, a text with a zero at its end
	zbootEnd    = 56
)

// bareKernel is a kernel as U-Boot's booti and u-root's kexec start it, which know
// nothing of UEFI: our arm64 one unpacked, any other as it is.
func bareKernel(kernel []byte) ([]byte, error) {
	if len(kernel) < zbootEnd || !bytes.HasPrefix(kernel[zbootTypeAt:], []byte(zbootMagic)) {
		return kernel, nil
	}
	how, _, _ := bytes.Cut(kernel[zbootHowAt:zbootEnd], []byte{0})
	if string(how) != "zstd" {
		return nil, fmt.Errorf("unpack it for U-Boot: it is packed by %.32q, and not by zstd", how)
	}
	from, size := binary.LittleEndian.Uint32(kernel[zbootFromAt:]), binary.LittleEndian.Uint32(kernel[zbootSizeAt:])
	if uint64(from)+uint64(size) > uint64(len(kernel)) {
		return nil, errors.New("unpack it for U-Boot: it is shorter than it says")
	}
	z, err := zstd.NewReader(bytes.NewReader(kernel[from:][:size]), zstd.WithDecoderMaxWindow(128<<20))
	if err != nil {
		return nil, fmt.Errorf("unpack it for U-Boot: %w", err)
	}
	defer z.Close()
	image, err := io.ReadAll(io.LimitReader(z, most))
	if err != nil {
		return nil, fmt.Errorf("unpack it for U-Boot: %w", err)
	}
	return image, nil
}
