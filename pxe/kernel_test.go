package pxe

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// zboot makes a kernel that is a program of UEFI.
func zboot(t *testing.T, how string, image []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	packed := w.EncodeAll(image, nil)
	kernel := make([]byte, 4096)
	copy(kernel, "MZ\x00\x00zimg")
	binary.LittleEndian.PutUint32(kernel[8:], 4096)
	binary.LittleEndian.PutUint32(kernel[12:], uint32(len(packed)))
	copy(kernel[24:], how)
	return append(append(kernel, packed...), 1, 2, 3, 4) // its size
}

func TestBareKernel(t *testing.T) {
	image := bytes.Repeat([]byte("ARM\x64"), 10000)
	good := zboot(t, "zstd", image)
	short := good[:len(good)/2]
	damaged := bytes.Clone(good)
	damaged[4096] ^= 1
	for name, tc := range map[string]struct {
		in, want []byte
		err      string
	}{
		"arm64":           {good, image, ""},
		"a bzImage":       {[]byte("MZ and what follows"), []byte("MZ and what follows"), ""},
		"nothing":         {nil, nil, ""},
		"cut":             {short, nil, "it is shorter than it says"},
		"another packing": {zboot(t, "gzip", image), nil, `it is packed by "gzip", and not by zstd`},
		"damaged":         {damaged, nil, "unpack it for U-Boot: "},
	} {
		got, err := bareKernel(tc.in)
		if !bytes.Equal(got, tc.want) || tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %d bytes, %v; want %d bytes, %q", name, len(got), err, len(tc.want), tc.err)
		}
	}
}

func FuzzBareKernel(f *testing.F) {
	f.Add([]byte("MZ\x00\x00zimg"))
	f.Add(append([]byte("MZ\x00\x00zimg\x38\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00zstd"), make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := bareKernel(data); err != nil && got != nil {
			t.Errorf("%d bytes beside an error: %v", len(got), err)
		}
	})
}
