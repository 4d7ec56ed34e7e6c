package labs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"tench/internal/lab"
	"tench/release"
)

// flashImage is what `make image` built.
func flashImage(t testing.TB) string {
	t.Helper()
	path := filepath.Join(lab.Root(t), "out", "qemu-amd64", "tench-qemu-amd64.img")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v\nhint: make image", err)
	}
	return path
}

// tenchIn runs the host tool in the checkout and returns all that it printed.
func tenchIn(t testing.TB, stdin string, args ...string) (string, error) {
	t.Helper()
	root := lab.Root(t)
	cmd := exec.Command(filepath.Join(root, "bin", "tench"), args...)
	cmd.Dir, cmd.Stdin = root, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// loopDevice is a file of size bytes, full of what is not ours, as a block
// device of its own, and what names it.
func loopDevice(t testing.TB, size int64) (device, handle string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stick")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xA5, 0xFF, 0x5A, 0x77}, int(size/4)), 0o600); err != nil {
		t.Fatal(err)
	}
	device = strings.TrimSpace(lab.Run(t, "", "losetup", "--find", "--show", path))
	t.Cleanup(func() { lab.Run(t, "", "losetup", "--detach", device) })
	return device, filepath.Base(device) + " " + humanize.Bytes(uint64(size))
}

const loopSize = 300 << 20

// TestFlashLoop writes to a block device of the kernel, and is refused as long as
// somebody uses it.
func TestFlashLoop(t *testing.T) {
	lab.RequireRoot(t, "losetup", "sfdisk", "mke2fs", "mkswap", "e2fsck")
	image := flashImage(t)
	device, handle := loopDevice(t, loopSize)
	refused := func(t *testing.T, want string, args ...string) {
		t.Helper()
		out, err := tenchIn(t, "", append([]string{"flash", image, device}, args...)...)
		if err == nil || !strings.Contains(out, want) {
			t.Errorf("tench flash %v: %v, want %q:\n%s", args, err, want, out)
		}
	}
	named := []string{"--fixed", handle, "--yes-serial", handle}

	refused(t, "it is a fixed disk")
	refused(t, "is not the answer: nothing was written", "--fixed", handle, "--yes-serial", "y")

	lab.Run(t, "", "mke2fs", "-q", "-F", device)
	where := t.TempDir()
	lab.Run(t, "", "mount", device, where)
	refused(t, "it is in use: "+filepath.Base(device)+" is mounted on "+where, named...)
	lab.Run(t, "", "umount", where)

	lab.Run(t, "", "mkswap", "-q", device)
	lab.Run(t, "", "swapon", device)
	refused(t, "it is in use: "+filepath.Base(device)+" is swap", named...)
	lab.Run(t, "", "swapoff", device)

	held, err := os.OpenFile(device, os.O_RDWR|os.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, "somebody uses it", named...)
	held.Close()

	out, err := tenchIn(t, handle+"\n", "flash", image, device, "--fixed", handle)
	if err != nil || !strings.Contains(out, "is written and was read back") || !strings.Contains(out, "swap") {
		t.Fatalf("tench flash: %v\n%s", err, out)
	}
	if out := lab.Run(t, "", "sfdisk", "--verify", device); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk: %s", out)
	}
	if diff := cmp.Diff(tableOf(t, image), tableOf(t, device)); diff != "" {
		t.Errorf("sfdisk --dump (-image +device):\n%s", diff)
	}
	lab.Run(t, "", "e2fsck", "-f", "-n", device+"?offset="+dataOffset(t, image))

	// It is a stick of its board now.
	out, err = tenchIn(t, "", "flash", image, device, "--fixed", handle, "--yes-serial", handle, "--json")
	if err != nil || !strings.Contains(out, `"tench":{"board":"qemu-amd64"`) {
		t.Errorf("tench flash once more: %v\n%s", err, out)
	}
	image = otherBoard(t, image)
	refused(t, "it is a stick of board qemu-amd64, the image is for qemu-arm64", named...)
}

// tableOf lists the partitions of a disk or an image, without the devices' names.
func tableOf(t *testing.T, disk string) (list []string) {
	t.Helper()
	for line := range strings.Lines(lab.Run(t, "", "sfdisk", "--dump", disk)) {
		if _, entry, ok := strings.Cut(line, " : "); ok {
			list = append(list, entry)
		}
	}
	if len(list) != 4 {
		t.Fatalf("sfdisk --dump %s: %d partitions, not 4", disk, len(list))
	}
	return list
}

// otherBoard is a copy of an image of qemu-amd64 that says to be for another.
func otherBoard(t *testing.T, image string) string {
	t.Helper()
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte("\nboard=qemu-amd64\n"), []byte("\nboard=qemu-arm64\n"))
	dir, sum := t.TempDir(), sha256.Sum256(data)
	path := filepath.Join(dir, "tench-qemu-arm64.img")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	list := []release.Product{{File: filepath.Base(path), SHA256: hex.EncodeToString(sum[:])}}
	if err := release.WriteSums(filepath.Join(dir, release.SumsFile), list); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFlashInterrupted sends ctrl-C while the partitions are written. Each line
// that tench prints has to be read before it can print the next, so that it waits
// for the signal there.
func TestFlashInterrupted(t *testing.T) {
	lab.RequireRoot(t, "losetup")
	device, handle := loopDevice(t, loopSize)
	lines, out := packets(t)
	root := lab.Root(t)
	cmd := exec.Command(filepath.Join(root, "bin", "tench"), "flash", flashImage(t), device, "--fixed", handle, "--yes-serial", handle, "--json")
	var said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, out, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	line, sent := make([]byte, 4096), false
	for {
		n, err := lines.Read(line)
		if err != nil {
			break
		}
		if !sent && strings.Contains(string(line[:n]), `"phase":"write"`) {
			sent = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := cmd.Wait()
	if cmd.ProcessState.ExitCode() != 130 || !strings.Contains(said.String(), "tench: flash: interrupted\nhint: "+device+" has no partition table") {
		t.Errorf("tench ended with %v (the signal was sent: %v) and said\n%s", err, sent, said.String())
	}
	first := make([]byte, 1<<20)
	f, err := os.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.ReadFull(f, first); err != nil || len(bytes.Trim(first, "\x00")) > 0 {
		t.Errorf("the first MiB holds something (%v): the stick may half boot", err)
	}
}

// packets is a pipe that holds one write at a time.
func packets(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_DIRECT|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "lines"), os.NewFile(uintptr(fds[1]), "lines")
	t.Cleanup(func() { r.Close(); w.Close() })
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// dataOffset is where the image's fourth partition begins, in bytes.
func dataOffset(t testing.TB, image string) string {
	t.Helper()
	for line := range strings.Lines(lab.Run(t, "", "sfdisk", "--dump", image)) {
		var start int64
		if _, after, ok := strings.Cut(line, "img4 : start="); ok {
			if _, err := fmt.Sscan(strings.TrimRight(strings.Fields(after)[0], ","), &start); err != nil {
				t.Fatal(err)
			}
			return fmt.Sprint(start * 512)
		}
	}
	t.Fatal("sfdisk shows no fourth partition")
	return ""
}

// TestFlashedBoxIsItself boots what tench flash made of the image, an identity
// and a router.toml.
func TestFlashedBoxIsItself(t *testing.T) {
	lab.Require(t)
	dir := t.TempDir()
	id, stick, config := filepath.Join(dir, "gw7"), filepath.Join(dir, "gw7.img"), filepath.Join(dir, "gw7.toml")
	if err := os.WriteFile(config, []byte("hostname = \"gw7\"\n[interface.lan]\ndevice = \"port:LAN\"\naddress = [\"192.168.1.1/24\"]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"identity", "new", id},
		{"identity", "secret", id, "isp"},
		{"flash", flashImage(t), stick, "--identity", id, "--config", config},
	} {
		if out, err := tenchIn(t, "carps and tenches", args...); err != nil {
			t.Fatalf("tench %v: %v\n%s", args, err, out)
		}
	}
	c := boot(t, "--image", stick)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "\n7\n")
	c.Send(t, "echo name-$(hostname); cat /data/identity/name /data/identity/secrets/isp; ls -ld /data/identity\n")
	c.Expect(t, `name-gw7\s+gw7\s+carps and tenches(?s:.*)drwx------`, menuTimeout)
	c.Send(t, "exit\n")
	powerOff(t, c)
}

// BenchmarkFlash compares tench flash, with its read-back, with dd of the whole
// image and with dd of as many bytes as it writes, on the same loop device.
func BenchmarkFlash(b *testing.B) {
	lab.RequireRoot(b, "losetup", "dd")
	image := flashImage(b)
	device, handle := loopDevice(b, loopSize)
	var flash, write, whole, same time.Duration
	var bytes int64
	for b.Loop() {
		began := time.Now()
		out, err := tenchIn(b, "", "flash", image, device, "--fixed", handle, "--yes-serial", handle, "--json")
		if err != nil {
			b.Fatalf("tench flash: %v\n%s", err, out)
		}
		flash += time.Since(began)
		done := flashDone(b, out)
		bytes, write = done.Bytes, write+time.Duration(done.Write*float64(time.Second))
		whole += dd(b, "if="+image, "of="+device)
		same += dd(b, "if="+image, "of="+device, "iflag=count_bytes", fmt.Sprintf("count=%d", bytes))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(bytes)*float64(b.N)/(1<<20)/write.Seconds(), "MiB/s")
	b.ReportMetric(write.Seconds()/same.Seconds(), "write/dd-same-bytes")
	b.ReportMetric(flash.Seconds()/whole.Seconds(), "all/dd-whole-image")
}

// dd runs dd past the page cache, as tench flash writes, and to the medium.
func dd(b *testing.B, args ...string) time.Duration {
	b.Helper()
	began := time.Now()
	lab.Run(b, "", append([]string{"dd", "bs=1M", "oflag=direct", "conv=fsync"}, args...)...)
	b.Logf("dd bs=1M oflag=direct conv=fsync %s: %v", strings.Join(args, " "), time.Since(began))
	return time.Since(began)
}

// done is the last event of tench flash --json.
type done struct {
	Event string  `json:"event"`
	Bytes int64   `json:"bytes"`
	Write float64 `json:"write-s"`
}

func flashDone(b *testing.B, out string) done {
	b.Helper()
	for line := range strings.Lines(out) {
		var d done
		if err := json.Unmarshal([]byte(line), &d); err == nil && d.Event == "done" {
			b.Logf("tench flash: %s", strings.TrimSpace(line))
			return d
		}
	}
	b.Fatalf("tench flash --json printed no event \"done\":\n%s", out)
	return done{}
}
