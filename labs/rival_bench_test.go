package labs

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
)

// The machines that measure differ in speed, and one machine from day to day: a
// boot's CPU seconds mean something beside those of another system, booted in
// turn with ours in the same run.

// rivalPrompt is u-root's shell, asking for its first command after u-root's
// init has said its last word.
const rivalPrompt = `(?s)Setting console log level.*> `

// urootVersion is that of go.mod, the release that our own image takes its
// commands from.
const urootVersion = "v0.16.0"

// BenchmarkBootBesideURoot compares our stick, from firmware to DHCP and the
// ready line, with u-root's plainest initramfs (`u-root core boot`) on Debian's
// kernel, which QEMU loads without firmware's help, to its shell's prompt. The
// goal of 3.0 CPU seconds was set where u-root took 5.5: 0.545 of it.
func BenchmarkBootBesideURoot(b *testing.B) {
	lab.Require(b, "qemu-system-x86_64", "apt-get", "dpkg-deb", "go")
	kernel := debianKernel(b)
	initrd, _ := urootInitrd(b)
	var ours, theirs []float64
	for range b.N {
		c := boot(b, "--firmware", "bios")
		c.Expect(b, readyLine, bootTimeout)
		ours = append(ours, cpuSeconds(b, c))
		c.Kill()
		c = lab.Start(b, "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-m", "512", "-nodefaults",
			"-display", "none", "-serial", "stdio", "-kernel", kernel, "-initrd", initrd,
			"-append", "console=ttyS0 no_timer_check")
		c.Expect(b, rivalPrompt, 2*bootTimeout)
		theirs = append(theirs, cpuSeconds(b, c))
		c.Kill()
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	b.Logf("CPU seconds, ours %.2f, u-root's %.2f", ours, theirs)
	b.ReportMetric(ours[0], "ours-min-cpu-s")
	b.ReportMetric(theirs[0], "u-root-min-cpu-s")
	b.ReportMetric(ours[0]/theirs[0], "ratio-of-minima")
	b.ReportMetric(ours[len(ours)/2]/theirs[len(theirs)/2], "ratio-of-medians")
	b.ReportMetric(0, "ns/op")
}

func cpuSeconds(b *testing.B, c *lab.Console) float64 {
	b.Helper()
	took, err := c.CPU()
	if err != nil {
		b.Fatal(err)
	}
	return took.Seconds()
}

// debianKernel fetches the kernel that Debian installs by default.
func debianKernel(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	depends := output(b, dir, "apt-cache", "depends", "linux-image-amd64")
	_, name, found := strings.Cut(depends, "Depends: ")
	if !found {
		b.Fatalf("linux-image-amd64 depends on nothing:\n%s", depends)
	}
	name, _, _ = strings.Cut(name, "\n")
	output(b, dir, "apt-get", "-qq", "download", name)
	debs, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(debs) != 1 {
		b.Fatalf("apt-get download %s: found %v, %v", name, debs, err)
	}
	output(b, dir, "dpkg-deb", "-x", debs[0], "root")
	kernels, err := filepath.Glob(filepath.Join(dir, "root", "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		b.Fatalf("%s: found %v, %v", debs[0], kernels, err)
	}
	return kernels[0]
}

// urootInitrd builds u-root's own initramfs from its module and returns with it
// the CPU time of that, which was 63 s where the goals were set. It compiles in
// a folder that it may write to, which the module cache is not, and leaves Go's
// own cache alone: everything is compiled each time.
func urootInitrd(b *testing.B) (initrd string, cpu time.Duration) {
	b.Helper()
	dir := b.TempDir()
	module := strings.TrimSpace(output(b, lab.Root(b), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/u-root/u-root@"+urootVersion))
	tree, program := filepath.Join(dir, "u-root"), filepath.Join(dir, "program")
	initrd = filepath.Join(dir, "initrd")
	if err := os.CopyFS(tree, os.DirFS(module)); err != nil {
		b.Fatal(err)
	}
	output(b, tree, "go", "build", "-o", program, ".")
	build := exec.Command(program, "-o", initrd, "core", "boot")
	build.Dir = tree
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", build, err, out)
	}
	cpu = build.ProcessState.UserTime() + build.ProcessState.SystemTime()
	b.Logf("%v: %.0f s of CPU", build, cpu.Seconds())
	return initrd, cpu
}

// output runs a program in dir and returns what it printed.
func output(b *testing.B, dir, name string, args ...string) string {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}
