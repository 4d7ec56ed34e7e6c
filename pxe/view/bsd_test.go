package view

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/pxe/boxes"
	"tench/pxe/event"
)

// bsdBox is a box with a folder of these files, each of which holds its name.
func bsdBox(t *testing.T, system boxes.System, files ...string) Box {
	t.Helper()
	dir := t.TempDir()
	for _, name := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return Box{Name: "bsd", MAC: event.MAC{0x52, 0x54, 0, 0, 0, 1}, Job: Run, System: system, Tree: tree}
}

// The requests of OpenBSD's pxeboot and of its installer, in their order.
func TestOpenBSD(t *testing.T) {
	b := bsdBox(t, boxes.OpenBSD, "pxeboot", "BOOTX64.EFI", "bsd.rd", "index.txt")
	b.Job, b.Speed, b.Answers = Install, 38400, []byte("System hostname = bsd\n")
	if got := b.FirstFile(); got != "auto_install" {
		t.Errorf("FirstFile = %q, want what makes bsd.rd install by itself", got)
	}
	for _, tc := range []struct{ name, want string }{
		{"auto_install", "pxeboot"},
		{"/etc/boot.conf", "stty com0 38400\nset tty com0\nboot tftp:/bsd.rd\n"},
		{"/bsd.rd", "bsd.rd"},
		{"52:54:00:00:00:01-install.conf", "System hostname = bsd\n"},
		{"install.conf", "System hostname = bsd\n"},
		{"index.txt", "index.txt"},
	} {
		if got := content(t, testView, b, tc.name); got != tc.want {
			t.Errorf("%s has %q, want %q", tc.name, got, tc.want)
		}
	}
	for _, name := range []string{"/bsd.upgrade", "/etc/random.seed", "/bsd", "52:54:00:00:00:02-install.conf", "vmlinuz", "undionly.kpxe"} {
		if _, err := testView.Open(b, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s) = %v, want that it is not there", name, err)
		}
	}
	b.UEFI = true
	if got := content(t, testView, b, "auto_install"); got != "BOOTX64.EFI" {
		t.Errorf("with UEFI, auto_install is %q", got)
	}
	b.Job, b.Speed = Disk, 0
	if got := content(t, testView, b, "etc/boot.conf"); got != "boot hd0a:/bsd\n" {
		t.Errorf("boot.conf of a box that boots its disk: %q", got)
	}
	if got := b.FirstFile(); got != "BOOTX64.EFI" {
		t.Errorf("FirstFile = %q", got)
	}
}

func TestFreeBSD(t *testing.T) {
	b := bsdBox(t, boxes.FreeBSD, "boot/pxeboot", "boot/loader.conf", "boot/lua/loader.lua", "boot/mfsroot.gz")
	b.Speed = 115200
	const conf = `boot/loader.conf
boot_serial="YES"
console="comconsole"
comconsole_speed="115200"
mfsroot_load="YES"
mfsroot_type="mfs_root"
mfsroot_name="/boot/mfsroot"
vfs.root.mountfrom="ufs:/dev/md0"
`
	if diff := cmp.Diff(conf, content(t, testView, b, FreeBSDRoot+"/boot/loader.conf")); diff != "" {
		t.Errorf("loader.conf (-want +got)\n%s", diff)
	}
	b.Job, b.Installed = Install, "http://192.0.2.1:80/b/x/installed"
	if diff := cmp.Diff(conf+"tench_installed=\"http://192.0.2.1:80/b/x/installed\"\n", content(t, testView, b, FreeBSDRoot+"/boot/loader.conf")); diff != "" {
		t.Errorf("loader.conf of an install (-want +got)\n%s", diff)
	}
	b.Job = Disk
	if _, err := testView.Open(b, "boot/pxeboot"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what boots its disk finds pxeboot, %v", err)
	}
	b.Job = Run
	for _, name := range []string{"boot/pxeboot", FreeBSDRoot + "/boot/lua/loader.lua", FreeBSDRoot + "/boot/mfsroot.gz"} {
		content(t, testView, b, name)
	}
	for _, name := range []string{"/boot/loader.conf.d", "/boot/lua", "/boot/mfsroot", "/../boot/pxeboot", "/boot/kernel/kernel.gz"} {
		if _, err := testView.Open(b, FreeBSDRoot+name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s) = %v, want that it is not there", name, err)
		}
	}
	plain := bsdBox(t, boxes.FreeBSD, "boot/loader.efi")
	plain.UEFI = true
	if got := content(t, testView, plain, "boot/loader.conf"); got != "" {
		t.Errorf("with nothing to say, loader.conf is %q", got)
	}
	if got := plain.FirstFile(); got != "boot/loader.efi" {
		t.Errorf("FirstFile with UEFI = %q", got)
	}
}

func TestFolderLeadsNowhereElse(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	err := errors.Join(
		os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644),
		os.WriteFile(filepath.Join(dir, "file"), []byte("file"), 0o644),
		os.Symlink("file", filepath.Join(dir, "inside")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "absolute")),
		os.Symlink("../"+filepath.Base(outside)+"/secret", filepath.Join(dir, "relative")),
		os.Symlink(outside, filepath.Join(dir, "folder")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644),
		os.Mkdir(filepath.Join(dir, "empty"), 0o755),
	)
	if err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, want := range map[string]bool{"file": true, "inside": true, "absolute": false, "relative": false,
		"folder/secret": false, "../" + filepath.Base(outside) + "/secret": false, "pipe": false, "empty": false, "none": false} {
		if f.Has(name) != want {
			t.Errorf("Has(%s) = %v, want %v", name, !want, want)
		}
	}
	if (Folder{}).Has("file") {
		t.Error("the zero folder has a file")
	}
	if _, err := OpenFolder(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there opens")
	}
}
