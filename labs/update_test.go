package labs

import (
	"os"
	"path/filepath"
	"testing"

	"tench/internal/lab"
	"tench/internal/slottest"
	"tench/release"
)

// knows puts a public key into the identity of an image, so that its updates are
// taken.
func knows(t testing.TB, image []byte, key []byte) {
	t.Helper()
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "test.pub")
	if err := os.WriteFile(data, partitionOf(image, 4), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, key, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"mkdir identity/update-keys", "write " + file + " identity/update-keys/test.pub"} {
		lab.Run(t, "", "debugfs", "-w", "-R", command, data)
	}
	altered, err := os.ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	copy(partitionOf(image, 4), altered)
}

// builtSlot is the slot image that `make image` leaves.
func builtSlot(t testing.TB) []byte {
	t.Helper()
	return readProduct(t, filepath.Join(lab.Root(t), "out", "qemu-amd64"), release.SlotName("qemu-amd64"))
}

// updateStick is a FAT stick with a slot image, signed by a key.
func updateStick(t testing.TB, image []byte, sign func(sums []byte) []byte) string {
	t.Helper()
	dir, name := t.TempDir(), release.SlotName("qemu-amd64")
	sums, err := release.FormatSums([]release.Product{{File: name, SHA256: slottest.Sum(image)}})
	if err != nil {
		t.Fatal(err)
	}
	slot, sig, stick := filepath.Join(dir, name), filepath.Join(dir, release.SignatureFile), filepath.Join(dir, "stick")
	for path, data := range map[string][]byte{slot: image, sig: sign(sums)} {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lab.Run(t, "", "mformat", "-C", "-F", "-i", stick, "-T", "131072", "::")
	lab.Run(t, "", "mcopy", "-i", stick, slot, sig, "::")
	return stick
}

// A real image goes from slot A to B and back, from a stick, over the serial
// console; each time the box becomes healthy in it by itself. A stranger's
// update is refused.
func TestUpdateThereAndBack(t *testing.T) {
	lab.Require(t, "debugfs", "mformat", "mcopy")
	public, secret := slottest.Key(t, 1)
	_, stranger := slottest.Key(t, 2)
	image := alteredImage(t, func(image []byte) {
		setHealth(t, image, quickHealth)
		knows(t, image, public.Marshal())
	})
	c := boot(t, "--image", image,
		"--qemu", "-drive", "--qemu", "if=virtio,format=raw,file="+updateStick(t, builtSlot(t), secret.SignInside),
		"--qemu", "-drive", "--qemu", "if=virtio,format=raw,file="+updateStick(t, builtSlot(t), stranger.SignInside))
	c.Expect(t, readyLine, bootTimeout)
	shell(t, c)
	c.Send(t, "tenchd update /dev/vdc; echo refused-$?\n")
	c.Expect(t, `update: ticket: signed by key [0-9a-f]{16}, which this box does not know(?s:.*)refused-1`, menuTimeout)
	c.Send(t, "exit\n")
	for _, slot := range []string{"b", "a"} {
		c.Send(t, "\nu\n")
		c.Expect(t, `update from:`, menuTimeout)
		c.Send(t, "/dev/vdb\n")
		c.Expect(t, `Type yes:`, menuTimeout)
		c.Send(t, "yes\n")
		c.Expect(t, `write slot `+slot+`(?s:.*)read slot `+slot+` back(?s:.*)arm slot `+slot, bootTimeout)
		c.Expect(t, `tench: slot `+slot+` is on trial, 2 tries left`, bootTimeout)
		if m := c.Expect(t, readyLine, bootTimeout); m[3] != slot {
			t.Errorf("the ready line is %q, want slot %s", m[0], slot)
		}
		shell(t, c)
		c.Send(t, untilGood+"tenchd slots\n")
		c.Expect(t, `slot `+slot+` +running +good`, bootTimeout)
		c.Send(t, "exit\n")
	}
	powerOff(t, c)
}
