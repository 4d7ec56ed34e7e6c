package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/build/flash"
	"tench/release"
)

// While the image's hash is looked at, one stick may take the place of another:
// what is asked about, and written, is what is there then.
func TestFlashLooksAtTheDeviceAgain(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	image, err := makeStick("../..", filepath.Join(dir, "work"), dir, "qemu-amd64")
	if err == nil {
		err = release.WriteSums(filepath.Join(dir, release.SumsFile), []release.Product{image})
	}
	if err != nil {
		t.Fatal(err)
	}
	const disk = "sys/devices/virtual/block/sdb"
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		disk + "/size": "31267815\n", disk + "/dev": "8:16\n", disk + "/ro": "0\n", disk + "/removable": "1\n", disk + "/queue/logical_block_size": "512\n",
		"dev/sdb": "", "proc/self/mountinfo": "", "sys/class/block/none": "", "sys/block/none": "",
	} {
		write(name, text)
	}
	for _, folder := range []string{"sys/class/block", "sys/block"} {
		if err := os.Remove(filepath.Join(root, folder, "none")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(root, disk), filepath.Join(root, folder, "sdb")); err != nil {
			t.Fatal(err)
		}
	}
	real := thisMachine
	thisMachine = flash.Machine{Root: root}
	t.Cleanup(func() { thisMachine = real })

	c := flashCommand()
	c.SetOut(writerFunc(func(text string) {
		if strings.HasPrefix(text, "image ") { // the line of one that was checked
			write(disk+"/ro", "1\n")
		}
	}))
	c.SetErr(io.Discard)
	c.SetArgs([]string{filepath.Join(dir, image.File), "/dev/sdb", "--yes-serial", "sdb 16 GB"})
	if err := c.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "it is read-only") {
		t.Errorf("flash = %v, want what the device is by then", err)
	}
}

type writerFunc func(text string)

func (f writerFunc) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}
