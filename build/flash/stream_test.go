package flash

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tench/identity"
	"tench/release/writestream"
)

// obey does what a stream orders, as an installer would, and returns its receipt.
func obey(stream io.Reader, m *memory) (string, error) {
	d, err := writestream.NewDecoder(stream)
	if err != nil {
		return "", err
	}
	if d.Header.Size != m.Size() {
		return "", fmt.Errorf("the stream is for %d bytes, want %d", d.Header.Size, m.Size())
	}
	receipt := writestream.NewReceipt()
	var written []writestream.Record
	for {
		r, err := d.Next()
		if err == io.EOF {
			return receipt.String(), nil
		}
		if err != nil {
			return "", err
		}
		if r.Kind == writestream.Write {
			if _, err := m.WriteAt(r.Bytes, r.At); err != nil {
				return "", err
			}
			written = append(written, writestream.Record{At: r.At, Bytes: make([]byte, len(r.Bytes)), Sum: r.Sum})
			continue
		}
		if err := errors.Join(m.Sync(), m.DropCaches()); err != nil {
			return "", err
		}
		if r.Kind != writestream.Verify {
			continue
		}
		for _, w := range written {
			if _, err := m.ReadAt(w.Bytes, w.At); err != nil {
				return "", err
			}
			sum := sha256.Sum256(w.Bytes)
			if sum != w.Sum {
				return "", fmt.Errorf("read back at %d: something else", w.At)
			}
			receipt.Add(w.At, sum)
		}
		written = nil
	}
}

func makeStream(t testing.TB, img *Image, o StreamOptions) ([]byte, string) {
	t.Helper()
	var out bytes.Buffer
	receipt, err := Stream(context.Background(), img, o, &out)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), receipt
}

// A disk that an installer wrote is the disk that tench flash writes, byte for
// byte, whatever was on it.
func TestStreamIsWhatFlashWrites(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	for name, more := range map[string]int64{"with room": 5 * mib, "with much room": img.Size + 3*mib, "as large as the image": 0} {
		t.Run(name, func(t *testing.T) {
			size := img.Size + more
			flashed, streamed := newMemory(size), newMemory(size)
			o := options()
			o.Old.data = span{img.parts[dataPart].at, img.parts[dataPart].size}
			if _, err := Write(context.Background(), img, flashed, o); err != nil {
				t.Fatal(err)
			}
			request := writestream.Request{Disk: "sda", Size: size, OldAt: o.Old.data.at, OldSize: o.Old.data.size}
			var last Progress
			stream, want := makeStream(t, img, StreamOptions{Request: request, Report: func(p Progress) { last = p }})
			got, err := obey(bytes.NewReader(stream), streamed)
			if err != nil || got != want {
				t.Fatalf("receipt %s, %v; want %s", got, err, want)
			}
			if last.Done != last.Total || last.Done == 0 {
				t.Errorf("the last progress is %d of %d", last.Done, last.Total)
			}
			// What probe leaves behind the image is chance.
			for _, m := range []*memory{flashed, streamed} {
				for _, mark := range marks(size, img.Size, rand.Reader)[1:] {
					clear(m.medium[mark.at : mark.at+markSize])
				}
			}
			if at := differ(flashed.medium, streamed.medium); at >= 0 {
				t.Errorf("byte %d of %d differs", at, size)
			}
			if len(stream) > 20*mib {
				t.Errorf("the stream has %d bytes, of which the image has 15 MiB that are no zeros", len(stream))
			}
		})
	}
}

// differ is where a and b differ first; -1 where they do not.
func differ(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestStreamedDiskAsOthersReadIt(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	m := newMemory(img.Size + 5*mib)
	d, err := img.MakeData(context.Background(), DataFiles([]byte("hostname = \"gw1\"\n"), identity.Identity{Name: "gw1"}), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	stream, _ := makeStream(t, img, StreamOptions{Request: writestream.Request{Disk: "sda", Size: m.Size()}, Data: d})
	if _, err := obey(bytes.NewReader(stream), m); err != nil {
		t.Fatal(err)
	}
	disk := m.saved(t)
	if out := tool(t, "sfdisk", "-V", disk); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk -V: %s", out)
	}
	for n := 1; n <= 3; n++ {
		tool(t, "fsck.vfat", "-n", cut(t, img, disk, n))
	}
	p4 := cut(t, img, disk, 4)
	tool(t, "e2fsck", "-f", "-n", p4)
	if got := tool(t, "debugfs", "-R", "cat /config/1/router.toml", p4); !strings.HasSuffix(got, "hostname = \"gw1\"\n") {
		t.Errorf("router.toml is %q", got)
	}
}

// A slot on an old disk becomes slot A of the image, and no byte beside it.
func TestSlotStream(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	part := img.parts[slotPart]
	m := newMemory(part.size)
	stream, want := makeStream(t, img, StreamOptions{Request: writestream.Request{Disk: "sda", Size: m.Size(), Slot: true}})
	if got, err := obey(bytes.NewReader(stream), m); err != nil || got != want {
		t.Fatalf("receipt %s, %v; want %s", got, err, want)
	}
	slot := m.saved(t)
	tool(t, "fsck.vfat", "-n", slot)
	for _, file := range []string{"slot.env", "vmlinuz", "initrd"} {
		want := tool(t, "mtype", "-i", cut(t, img, img.Path, 2), "::"+file)
		if got := tool(t, "mtype", "-i", slot, "::"+file); got != want || len(got) < 1024 {
			t.Errorf("mtype %s gives %d bytes, want %d or others", file, len(got), len(want))
		}
	}
}

// The power is cut in each write in turn: nothing boots but the whole. A stream
// that is cut off is told from one that ends; that the installer takes the boot
// sector back then, its own tests say.
func TestStreamThatBreaks(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	for name, r := range map[string]writestream.Request{
		"disk": {Disk: "sda", Size: img.Size + 2*mib},
		"slot": {Disk: "sda", Size: img.parts[slotPart].size, Slot: true},
	} {
		t.Run(name, func(t *testing.T) {
			stream, _ := makeStream(t, img, StreamOptions{Request: r})
			whole := newMemory(r.Size)
			if _, err := obey(bytes.NewReader(stream), whole); err != nil || !whole.boots() {
				t.Fatalf("the whole: %v, boots %v", err, whole.boots())
			}
			for n := 2; n <= whole.writes; n++ { // a cut in the first leaves the old disk
				m := newMemory(r.Size)
				m.cutAt = n
				if _, err := obey(bytes.NewReader(stream), m); !errors.Is(err, errCut) {
					t.Fatalf("cut in write %d: %v", n, err)
				}
				m.settle() // all that was written reached it
				if m.boots() {
					t.Errorf("cut in write %d of %d: the disk half boots", n, whole.writes)
				}
			}
			for _, at := range []int{len(stream) - 1, len(stream) - 60, len(stream) - 1000, len(stream) / 2, 100} {
				m := newMemory(r.Size)
				if _, err := obey(bytes.NewReader(stream[:at]), m); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("cut after %d of %d bytes: %v", at, len(stream), err)
				}
			}
		})
	}
}

func TestStreamRefuses(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	for name, r := range map[string]writestream.Request{
		"disk too small": {Disk: "sda", Size: img.Size - sector},
		"slot too small": {Disk: "sda", Size: mib, Slot: true},
	} {
		var out bytes.Buffer
		_, err := Stream(context.Background(), img, StreamOptions{Request: r}, &out)
		if !errors.Is(err, writestream.ErrTooSmall) || !strings.Contains(err.Error(), "needed\nhint: a larger disk") || out.Len() > 0 {
			t.Errorf("%s: %v after %d bytes; want a refusal", name, err, out.Len())
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Stream(ctx, img, StreamOptions{Request: writestream.Request{Disk: "sda", Size: img.Size}}, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("Stream whose client is gone: %v", err)
	}
}

// A stream that broke is made once more, byte for byte, to be sent from there.
func TestStreamAgain(t *testing.T) {
	img := openImage(t, makeImage(t, t.TempDir()))
	o := StreamOptions{Request: writestream.Request{Disk: "sda", Size: 3 * img.Size}, Seed: [32]byte{1}}
	anew := func() ([]byte, string) { // with a data partition of its own, as for another request
		data, err := img.MakeData(t.Context(), DataFiles([]byte("hostname = \"gw0\"\n"), identity.Identity{}), io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer data.Close()
		o.Data = data
		return makeStream(t, img, o)
	}
	first, receipt := anew()
	again, same := anew()
	if !bytes.Equal(first, again) || receipt != same {
		t.Error("the same order is another stream")
	}
	o.Seed = [32]byte{2}
	if other, _ := anew(); bytes.Equal(first, other) {
		t.Error("another seed is the same stream")
	}
}
