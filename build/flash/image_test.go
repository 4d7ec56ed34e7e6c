package flash

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"tench/release"
	"tench/release/signify"
)

func TestOpenImageRefuses(t *testing.T) {
	public, secret, err := signify.Generate(rand.Reader, "release")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := signify.Generate(rand.Reader, "other")
	if err != nil {
		t.Fatal(err)
	}
	sign := func(t *testing.T, dir string) {
		write(t, filepath.Join(dir, release.SignatureFile), secret.SignInside(read(t, filepath.Join(dir, release.SumsFile))))
	}
	ours, theirs := Trust{Keys: []signify.PublicKey{other, public}}, Trust{Keys: []signify.PublicKey{other}}
	for name, tc := range map[string]struct {
		trust  Trust
		change func(t *testing.T, dir, image string)
		want   string // "" for none
	}{
		"a build of this machine": {},
		"signed":                  {ours, func(t *testing.T, dir, _ string) { sign(t, dir) }, ""},
		"signed by a stranger":    {theirs, func(t *testing.T, dir, _ string) { sign(t, dir) }, "signed by key " + public.Number.String() + " (signature from release secret key), which is not known here\nhint:"},
		"signed, no key at all":   {Trust{}, func(t *testing.T, dir, _ string) { sign(t, dir) }, "--key FILE.pub"},
		"signed, believed":        {Trust{Unsigned: true}, func(t *testing.T, dir, _ string) { sign(t, dir) }, ""},
		"not signed, but must be": {Trust{Must: true, Keys: ours.Keys}, nil, "SHA256.sig: no such file"},
		"signature of other sums": {ours, func(t *testing.T, dir, _ string) {
			write(t, filepath.Join(dir, release.SignatureFile), secret.SignInside([]byte("SHA256 (x) = 0\n")))
		}, "SHA256.sig: signature: the message inside is not the file"},
		"signature forged": {ours, func(t *testing.T, dir, image string) {
			sign(t, dir)
			sig := read(t, filepath.Join(dir, release.SignatureFile))
			writeSums(t, image)
			sums := append(read(t, filepath.Join(dir, release.SumsFile)), "SHA256 (more) = "+sum(nil)+"\n"...)
			write(t, filepath.Join(dir, release.SumsFile), sums)
			lines := bytes.SplitAfterN(sig, []byte("\n"), 3)
			write(t, filepath.Join(dir, release.SignatureFile), append(append(lines[0], lines[1]...), sums...))
		}, "SHA256.sig: bad signature"},
		"one byte changed": {Trust{}, func(t *testing.T, _, image string) { flip(t, image, 70*mib) }, "but SHA256 beside it has"},
		"cut short":        {Trust{}, func(t *testing.T, _, image string) { truncate(t, image, 99*mib) }, "hint: it was damaged or cut short"},
		"no SHA256":        {Trust{}, func(t *testing.T, dir, _ string) { os.Remove(filepath.Join(dir, "SHA256")) }, "there is no SHA256 beside it to check it by\nhint:"},
		"SHA256 of others": {Trust{}, func(t *testing.T, dir, _ string) {
			write(t, filepath.Join(dir, "SHA256"), []byte("SHA256 (x) = "+sum(nil)+"\n"))
		}, "SHA256 beside it does not list it"},
		"SHA256 is rubbish":  {Trust{}, func(t *testing.T, dir, _ string) { write(t, filepath.Join(dir, "SHA256"), []byte("<html>\n")) }, "SHA256:1: "},
		"a web page":         {Trust{}, func(t *testing.T, _, image string) { write(t, image, []byte("<html>404</html>")); writeSums(t, image) }, "is no image of tench: has no partition table"},
		"cut, with its hash": {Trust{}, func(t *testing.T, _, image string) { truncate(t, image, 99*mib); writeSums(t, image) }, "partition 4 is not where tench has it"},
		"another system": {Trust{}, func(t *testing.T, _, image string) {
			clearAt(t, image, 66*mib, mib)
			writeSums(t, image)
		}, "is no image of tench: slot A is no FAT16"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			image := makeImage(t, dir)
			if tc.change != nil {
				tc.change(t, dir, image)
			}
			img, err := OpenImage(context.Background(), image, tc.trust, nil)
			if err == nil {
				img.Close()
			}
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("OpenImage = %v, want it open", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("OpenImage = %v, want %q", err, tc.want)
			}
		})
	}
}

// A release's image is packed; its hash is that of the packed file.
func TestPackedImage(t *testing.T) {
	dir := t.TempDir()
	plain := makeImage(t, dir)
	z, err := zstd.NewWriter(nil, zstd.WithWindowSize(maxWindow), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	packed := plain + packedEnd
	write(t, packed, z.EncodeAll(read(t, plain), nil))
	writeSums(t, packed)
	img := openImage(t, packed)
	if img.Board != "apu2" || img.Release != "2026.11" || img.Made.Format(time.DateTime) != "2026-11-21 09:30:10" {
		t.Errorf("the image is %+v, want apu2, 2026.11, its epoch", img)
	}
	got := make([]byte, img.Size)
	if _, err := img.file.ReadAt(got, 0); err != nil || !bytes.Equal(got, read(t, plain)) {
		t.Errorf("unpacked are %d bytes, or others (%v)", len(got), err)
	}
	write(t, packed, append(read(t, packed), 0))
	if _, err := OpenImage(context.Background(), packed, Trust{}, nil); err == nil {
		t.Error("a packed image with a byte more is taken")
	}
	truncate(t, packed, 1000)
	writeSums(t, packed)
	if _, err := OpenImage(context.Background(), packed, Trust{}, nil); err == nil || !strings.Contains(err.Error(), "unpack: ") {
		t.Errorf("half a packed image: %v, want it to tell of the unpacking", err)
	}
}

// What is free to dumpe2fs is what is left out.
func TestUsedBlocksAsDumpe2fsSeesThem(t *testing.T) {
	b := testBoard()
	b.Layout.DataMiB = 160 // two groups of blocks
	img := openImage(t, makeImageOf(t, b, t.TempDir()))
	part := img.parts[dataPart]
	e, err := openExt4(io.NewSectionReader(img.file, part.at, part.size))
	if err != nil {
		t.Fatal(err)
	}
	used, err := e.used()
	if err != nil {
		t.Fatal(err)
	}
	isUsed := make([]bool, e.blocks)
	for _, s := range used {
		for b := s.at / e.blockSize; b < s.end()/e.blockSize; b++ {
			isUsed[b] = true
		}
	}
	free := int64(0)
	for l := range strings.Lines(tool(t, "dumpe2fs", cut(t, img, img.Path, 4))) {
		list, ok := strings.CutPrefix(strings.TrimSpace(l), "Free blocks: ")
		if !ok || !strings.HasPrefix(l, " ") { // the summary has one, too
			continue
		}
		for r := range strings.SplitSeq(list, ", ") {
			var from, to int64
			if n, _ := fmt.Sscanf(r, "%d-%d", &from, &to); n == 1 {
				to = from
			}
			for b := from; b <= to; b++ {
				free++
				if isUsed[b] {
					t.Fatalf("block %d is free to dumpe2fs, used to us", b)
				}
			}
		}
	}
	usedCount := int64(0)
	for _, u := range isUsed {
		if u {
			usedCount++
		}
	}
	if usedCount+free != e.blocks || free == 0 {
		t.Errorf("%d used to us, %d free to dumpe2fs, together not %d", usedCount, free, e.blocks)
	}
}

// padded is a disk of 20 MiB that begins with some bytes, and else is empty.
type padded []byte

const paddedSize = 20 * mib

func (p padded) ReadAt(b []byte, at int64) (int, error) {
	clear(b)
	if at < int64(len(p)) {
		copy(b, p[at:])
	}
	return len(b), nil
}

// FuzzLabel reads what may be on any stick.
func FuzzLabel(f *testing.F) {
	img := openImage(f, makeImage(f, f.TempDir()))
	for _, at := range []int64{0, img.parts[slotPart].at, img.parts[dataPart].at} {
		head := make([]byte, 5<<10)
		if _, err := img.file.ReadAt(head, at); err != nil {
			f.Fatal(err)
		}
		f.Add(head)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := io.NewSectionReader(padded(data), 0, paddedSize)
		labelOf(r, paddedSize)
		if l, err := readLabel(r, [4]span{slotPart: {0, paddedSize}}); err == nil && !labelRE.MatchString(l.Board) {
			t.Errorf("readLabel = %+v", l)
		}
		if fat, err := openFAT(r); err == nil {
			if end, err := fat.usedEnd(); err == nil && (end < 0 || end > paddedSize) {
				t.Errorf("a FAT of %d bytes is in use up to %d", paddedSize, end)
			}
		}
		e, err := openExt4(r)
		if err != nil {
			return
		}
		if used, err := e.used(); err == nil && len(used) > 0 && used[len(used)-1].end() > paddedSize {
			t.Errorf("an ext4 within %d bytes uses %+v", paddedSize, used[len(used)-1])
		}
	})
}
