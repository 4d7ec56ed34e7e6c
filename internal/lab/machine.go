package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
)

// image is where `make image` leaves the image whose kernel InMachine boots.
const image = "out/qemu-amd64/tench-qemu-amd64.img"

// machineTime is how long an emulated machine may take on a busy host.
const machineTime = 5 * time.Minute

// InMachine runs the calling test again as PID 1 of a virtual machine with the
// box's own kernel, and returns whether this is that process. The programs, with
// their libraries, are there as well. It is for what the kernel of the machine
// that runs the tests may lack; otherwise it is used like Isolate.
func InMachine(t *testing.T, programs ...string) bool {
	t.Helper()
	if os.Getpid() == 1 && os.Getenv(inside) == t.Name() {
		mountAll(t)
		return true
	}
	Require(t, append([]string{"qemu-system-x86_64", "mcopy", "sfdisk", "ldd"}, programs...)...)
	dir := t.TempDir()
	kernel, initrd := filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initrd")
	extractKernel(t, kernel)
	packInitrd(t, initrd, programs)
	// The kernel hands init the words that it does not know: with "=" as its
	// environment, after "--" as its arguments.
	words := []string{
		"console=ttyS0", "quiet", "panic=-1", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TENCH_LAB=yes", inside + "=" + t.Name(),
		"--", "-test.run=^" + t.Name() + "$", "-test.v",
	}
	cmd := exec.Command("qemu-system-x86_64", "-m", "256", "-nographic", "-no-reboot", "-nic", "none",
		"-kernel", kernel, "-initrd", initrd, "-append", strings.Join(words, " "))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("lab: start QEMU: %v", err)
	}
	alarm := time.AfterFunc(machineTime, func() { cmd.Process.Kill() })
	defer alarm.Stop()
	// PID 1 ends with the test, the kernel panics over that and reboots, and
	// QEMU takes the reboot for the end.
	err := cmd.Wait()
	text, _, _ := strings.Cut(out.String(), "Kernel panic - not syncing: Attempted to kill init")
	if err != nil || !strings.Contains(text, "--- PASS: "+t.Name()) {
		t.Fatalf("in the machine: %v\n%s", err, text)
	}
	t.Logf("in the machine:\n%s", text)
	return false
}

// mountAll makes the machine a place for programs.
func mountAll(t *testing.T) {
	t.Helper()
	for _, m := range []struct{ target, kind string }{
		{"/proc", "proc"}, {"/sys", "sysfs"}, {"/run", "tmpfs"}, {"/tmp", "tmpfs"}, {"/dev", "devtmpfs"},
	} {
		err := syscall.Mount(m.kind, m.target, m.kind, 0, "")
		if err != nil && err != syscall.EBUSY { // the kernel may have mounted /dev
			t.Fatalf("lab: mount %s: %v", m.target, err)
		}
	}
}

// extractKernel takes the kernel out of slot A of the image.
func extractKernel(t *testing.T, to string) {
	t.Helper()
	img := filepath.Join(Root(t), image)
	if _, err := os.Stat(img); err != nil {
		t.Fatalf("lab: %v\nhint: make image", err)
	}
	var table struct {
		PartitionTable struct {
			Partitions []struct{ Start int64 }
		}
	}
	out := Run(t, "", "sfdisk", "--json", img)
	if err := json.Unmarshal([]byte(out), &table); err != nil || len(table.PartitionTable.Partitions) < 2 {
		t.Fatalf("lab: partitions of %s: %v\n%s", img, err, out)
	}
	slot := fmt.Sprintf("%s@@%d", img, table.PartitionTable.Partitions[1].Start*512)
	Run(t, "", "mcopy", "-i", slot, "::/vmlinuz", to)
}

// absolute finds the libraries in what ldd(1) prints.
var absolute = regexp.MustCompile(`/\S+`)

// packInitrd puts this test as /init, and programs, into an initramfs.
func packInitrd(t *testing.T, to string, programs []string) {
	t.Helper()
	f, err := os.Create(to)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	defer f.Close()
	w := cpio.Newc.Writer(f)
	files := map[string]string{"init": "/proc/self/exe"}
	for _, p := range programs {
		path, err := exec.LookPath(p)
		if err != nil {
			t.Fatalf("lab: %v", err)
		}
		files[path[1:]] = path
	}
	libraries := map[string]string{}
	for _, path := range files {
		// A static program makes ldd fail, and has no libraries.
		out, _ := exec.Command("ldd", path).Output()
		for _, lib := range absolute.FindAllString(string(out), -1) {
			libraries[lib[1:]] = lib
		}
	}
	records := []cpio.Record{cpio.CharDev("dev/console", 0o600, 5, 1)}
	made := map[string]bool{}
	for _, dir := range []string{"proc", "sys", "run", "tmp", "dev", "etc"} {
		records = append(records, cpio.Directory(dir, 0o755))
		made[dir] = true
	}
	for _, list := range []map[string]string{files, libraries} {
		for name, path := range list {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("lab: %v", err)
			}
			records = append(records, cpio.StaticFile(name, string(data), 0o755))
		}
	}
	if err := writeArchive(w, records, made); err != nil {
		t.Fatalf("lab: write initramfs: %v", err)
	}
}

// writeArchive writes the records, each after the folders it is in.
func writeArchive(w cpio.RecordWriter, records []cpio.Record, made map[string]bool) error {
	for _, r := range records {
		var parents []string
		for dir := filepath.Dir(r.Name); dir != "." && !made[dir]; dir = filepath.Dir(dir) {
			made[dir] = true
			parents = append([]string{dir}, parents...)
		}
		for _, dir := range parents {
			if err := w.WriteRecord(cpio.Directory(dir, 0o755)); err != nil {
				return err
			}
		}
		if err := w.WriteRecord(r); err != nil {
			return err
		}
	}
	return cpio.WriteTrailer(w)
}
