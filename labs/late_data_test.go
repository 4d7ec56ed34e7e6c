package labs

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"tench/internal/lab"
)

// A disk that is slower than anybody waits for it: the box goes on without its
// configuration, and takes it once the disk is there. The kernel does not come
// from that disk, which QEMU lets give 700 bytes a second, until it is told not to.
func TestDataComesLate(t *testing.T) {
	for name, readOnly := range map[string]bool{"whole": false, "read-only": true} {
		t.Run(name, func(t *testing.T) { dataComesLate(t, readOnly) })
	}
}

func dataComesLate(t *testing.T, readOnly bool) {
	t.Helper()
	lab.Require(t, "qemu-system-x86_64")
	out, dir := filepath.Join(lab.Root(t), "out", "qemu-amd64"), t.TempDir()
	image := readProduct(t, out, "tench-qemu-amd64.img")
	disk, monitor := filepath.Join(dir, "disk"), filepath.Join(dir, "monitor")
	if err := os.WriteFile(disk, image, 0o644); err != nil {
		t.Fatal(err)
	}
	drive := "if=none,id=slow,format=raw,throttling.bps-read=700,file=" + disk
	if readOnly {
		drive += ",readonly=on"
	}
	words := fmt.Sprintf("%s tench.disk=%08x tench.slot=a", slotArgs(t, partitionOf(image, 2)), binary.LittleEndian.Uint32(image[440:]))
	c := lab.Start(t, "qemu-system-x86_64", "-machine", "q35", "-cpu", "max", "-m", "256", "-nographic", "-no-reboot", "-nic", "none",
		"-kernel", filepath.Join(out, "tench-qemu-amd64.vmlinuz"), "-initrd", filepath.Join(out, "tench-qemu-amd64.initrd"), "-append", words,
		"-drive", drive, "-device", "virtio-blk-pci,drive=slow",
		"-monitor", "unix:"+monitor+",server,nowait")

	c.Expect(t, `tench: ready in [^\r\n]* missing: router.toml`, bootTimeout)
	c.Expect(t, `data: the mount has not returned for 30 s`, menuTimeout)
	hmp, err := net.Dial("unix", monitor)
	if err != nil {
		t.Fatal(err)
	}
	defer hmp.Close()
	if _, err := io.WriteString(hmp, "block_set_io_throttle slow 0 0 0 0 0 0\n"); err != nil {
		t.Fatal(err)
	}
	shell(t, c)
	c.Send(t, "until tenchd log | grep 'the data partition is there now'; do sleep 1; done; until tenchd generations; do sleep 1; done\n")
	c.Expect(t, `the data partition is there now(?s:.*)1 +current`, bootTimeout)
	c.Send(t, "mount | grep /data; tenchd status\n")
	c.Expect(t, `/dev/vda4 /data ext4`, menuTimeout)
	c.Expect(t, `config +generation 1(?s:.*)lan +missing`, menuTimeout)
	if readOnly {
		c.Send(t, "tenchd log | grep 'data: /dev/vda4'\n")
		c.Expect(t, `data: /dev/vda4 is read-only`, menuTimeout)
	}
	c.Send(t, "exit\n")
	powerOff(t, c)
}
