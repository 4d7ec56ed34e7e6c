package labs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/internal/lab"
	"tench/pxe/event"
	"tench/release"
)

// ownBox is a box with a name, a configuration and a host key of its own.
type ownBox struct {
	socket
	name, config string
	console      *lab.Console
}

// TestPXEThreeBoxes installs three machines that are switched on together: each
// writes its disk, starts from it and is healthy, and each is who it shall be.
func TestPXEThreeBoxes(t *testing.T) {
	if !onCable(t) {
		return
	}
	lab.Require(t, "ssh-keygen", "debugfs")
	c := newCable(t, true)
	lab.Keygen(t, filepath.Join(c.dir, "id"), "-t", "ed25519", "-N", "")
	tench(t, c.dir, nil, "key", "new", filepath.Join(c.dir, "dev"), "--no-passphrase")
	var all []*ownBox
	list := ""
	for n := 1; n <= 3; n++ {
		b := c.ownBox(n)
		all = append(all, b)
		list += fmt.Sprintf("[box.%s]\nmac = [%q]\nboard = %q\nconfig = %q\nidentity = %q\ndisk = %q\n", b.name, b.mac, c.board, b.name+".toml", b.name, b.serial)
	}
	c.writeList(list)
	c.serveList()
	for _, b := range all {
		c.order("install", b.name)
	}
	for _, b := range all {
		b.console = c.start("bios", b.socket)
	}
	for _, b := range all {
		b.console.Expect(t, `is written and read back; rebooting from it`, bootTimeout)
	}
	for _, b := range all {
		b.console.Expect(t, readyLine, bootTimeout)
	}
	lab.Eventually(t, bootTimeout, "three boxes are healthy", func() bool { return len(c.events(event.Healthy)) >= len(all) })
	for _, kind := range []event.Kind{event.Armed, event.Written, event.Healthy} {
		seen := map[string]int{}
		for _, e := range c.events(kind) {
			seen[e.Box.String()]++
		}
		for _, b := range all {
			if seen[b.mac] != 1 {
				t.Errorf("%s: the server says %q %d times, want once", b.name, kind, seen[b.mac])
			}
		}
	}
	for _, b := range all {
		b.console.Kill()
		b.look(t, c.dir)
	}
}

// ownBox makes the n-th box, with the smallest disk that takes the image.
func (c *cable) ownBox(n int) *ownBox {
	c.t.Helper()
	name := fmt.Sprintf("gw%d", n)
	b := &ownBox{name: name, socket: socket{
		tap: fmt.Sprintf("tap%d", n), mac: fmt.Sprintf("52:54:00:12:35:%02x", n),
		disk: filepath.Join(c.dir, name+".img"), serial: fmt.Sprintf("LAB-DISK-%d", n),
	}}
	c.tap(b.tap)
	b.config = fmt.Sprintf("hostname = %q\n\n[interface.wan]\ndevice = \"port:WAN\"\ndhcp4 = true\n\n", name) + quickHealth
	image, err := os.Stat(filepath.Join(lab.Root(c.t), "out", c.board, release.ImageName(c.board)))
	if err != nil {
		c.t.Fatalf("%v\nhint: make image", err)
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(c.dir, name+".toml"), []byte(b.config), 0o644),
		os.WriteFile(b.disk, nil, 0o644), os.Truncate(b.disk, image.Size()+8<<20))
	if err != nil {
		c.t.Fatal(err)
	}
	lab.Run(c.t, "", filepath.Join(lab.Root(c.t), "bin", "tench"), "identity", "new", filepath.Join(c.dir, name),
		"--ssh-key", filepath.Join(c.dir, "id.pub"), "--key", filepath.Join(c.dir, "dev.pub"))
	return b
}

// look has debugfs read who the disk's box is.
func (b *ownBox) look(t *testing.T, desk string) {
	t.Helper()
	disk, err := os.ReadFile(b.disk)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(data, partitionOf(disk, 4), 0o600); err != nil {
		t.Fatal(err)
	}
	cat := func(path string) string {
		_, text, _ := strings.Cut(lab.Run(t, "", "debugfs", "-R", "cat "+path, data), "\n") // the first line is debugfs'
		return text
	}
	key, err := os.ReadFile(filepath.Join(desk, b.name, "ssh_host_ed25519_key"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/config/1/router.toml": b.config, "/identity/name": b.name + "\n", "/identity/ssh_host_ed25519_key": string(key)} {
		if got := cat(path); got != want {
			t.Errorf("%s: %s on its disk is %q, want %q", b.name, path, got, want)
		}
	}
}
