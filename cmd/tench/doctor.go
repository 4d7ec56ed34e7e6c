package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tench/boards"
	"tench/build"
)

// need is something outside this tree that some of our work calls for.
type need struct {
	what    string // a program's name, or an absolute path of a file
	pkg     string // the Debian package that has it
	purpose string // "build", "run", "test"
	why     string
}

// needs lists what work for the board calls for, by purpose.
func needs(b boards.Board) []need {
	var list []need
	for _, t := range build.Tools(b) {
		list = append(list, need{t.Name, t.Package, "build", t.Why})
	}
	if b.QEMU.System != "" {
		list = append(list, need{"qemu-system-" + b.QEMU.System, qemuPackage(b.QEMU.System), "run", "the machine to boot"})
	}
	if fw := uefis[b.Arch.Name]; slices.Contains(b.Firmware, "uefi") {
		list = append(list, need{fw.code, fw.pkg, "run", "UEFI for QEMU"})
	}
	return append(list, []need{
		{"ip", "iproute2", "test", "network namespaces"},
		{"ping", "iputils-ping", "test", "is anybody there"},
		{"dnsmasq", "dnsmasq-base", "test", "a DHCP server to test against"},
		{"tcpdump", "tcpdump", "test", "reads our packets"},
		{"tshark", "tshark", "test", "takes our packets apart"},
		{"udhcpc", "udhcpc", "test", "busybox's DHCP client"},
		{"dhclient", "isc-dhcp-client", "test", "ISC's DHCP client"},
		{"rdisc6", "ndisc6", "test", "asks for routers"},
		{"tftp", "tftp-hpa", "test", "a TFTP client"},
		{"atftp", "atftp", "test", "a TFTP client with windows"},
		{"busybox", "busybox", "test", "the TFTP client of small systems"},
		{"curl", "curl", "test", "a TFTP client"},
		{"/usr/lib/u-boot/qemu_arm64/u-boot.bin", "u-boot-qemu", "test", "U-Boot, to boot over the network"},
		{"/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd", "ovmf-ia32", "test", "UEFI of 32 bits, to boot over the network"},
		{"/usr/sbin/in.tftpd", "tftpd-hpa", "test", "a TFTP server to measure beside"},
		{"fsck.vfat", "dosfstools", "test", "checks our FAT"},
		{"mcopy", "mtools", "test", "reads our FAT"},
		{"sfdisk", "fdisk", "test", "checks our partition table"},
		{"losetup", "mount", "test", "block devices to write sticks to"},
		{"cpio", "cpio", "test", "reads our initramfs"},
		{"mtree", "mtree-netbsd", "test", "compares our list of the root with the tree"},
		{"file", "file", "test", "names what we wrote"},
		{"grub-fstest", "grub-common", "test", "GRUB's reading of our slots"},
		{"/usr/lib/grub/i386-pc/boot.img", "grub-pc-bin", "test", "GRUB for BIOS"},
		{"/usr/lib/grub/x86_64-efi/modinfo.sh", "grub-efi-amd64-bin", "test", "GRUB for UEFI"},
		{"gpg", "gnupg", "test", "signs test archives and sources"},
		{"faketime", "faketime", "test", "builds on another day"},
		{"gpgv", "gpgv", "test", "checks the signatures that we check"},
		{"dpkg-source", "dpkg-dev", "test", "makes source packages for a test archive"},
		{"apt-ftparchive", "apt-utils", "test", "lists them"},
		{"git", "git", "test", "a repository to fetch from"},
		{"wget", "wget", "test", "fetches a URL as the one of the box does"},
		{"/usr/lib/python3/dist-packages/pyftpdlib/__init__.py", "python3-pyftpdlib", "test", "FTP and web servers to test against"},
		{"/usr/lib/python3/dist-packages/prometheus_client/__init__.py", "python3-prometheus-client", "test", "reads our metrics"},
		{"signify-openbsd", "signify-openbsd", "test", "reads our signatures and keys"},
		{"age", "age", "test", "reads and writes our backups"},
		{"sshd", "openssh-server", "test", "a host to publish to"},
		{"ssh-keygen", "openssh-client", "test", "keys to log in with"},
		{"distcc", "distcc", "test", "a compile farm"},
		{"chromium", "chromium", "test", "loads the operator's page; 80 MB to fetch, 290 MB installed"},
		{"redis-server", "redis-server", "test", "a compiler cache that machines share"},
	}...)
}

// qemuPackage is the Debian package with the program qemu-system-SYSTEM.
func qemuPackage(system string) string {
	if system == "arm" || system == "aarch64" {
		return "qemu-system-arm"
	}
	return "qemu-system-x86"
}

// allNeeds lists what work for any of the boards calls for, each once.
func allNeeds(list []boards.Board) []need {
	var all []need
	for _, b := range list {
		for _, n := range needs(b) {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	return all
}

// met reports whether the machine has it. Programs for root count too, though
// they are not in everybody's PATH.
func (n need) met() bool {
	paths := []string{n.what}
	if !filepath.IsAbs(n.what) {
		paths = []string{"/usr/local/bin/" + n.what, "/usr/bin/" + n.what, "/bin/" + n.what, "/usr/sbin/" + n.what, "/sbin/" + n.what}
		if _, err := exec.LookPath(n.what); err == nil {
			return true
		}
	}
	return slices.ContainsFunc(paths, func(p string) bool { _, err := os.Stat(p); return err == nil })
}

func doctorCommand() *cobra.Command {
	var install, quiet, all bool
	var purposes []string
	c := &cobra.Command{
		Use:   "doctor [BOARD]…",
		Short: "Say what this machine lacks, and how to mend it",
		Long: `doctor looks for the programs and files that building, running and testing the
boards' images calls for, and names the Debian packages that have them. It says
whether the compile farm can be reached, and how much space the cache has.`,
		Example: `  tench doctor
  tench doctor --for build --install     install what building lacks, as root or with sudo
  tench doctor --all-boards`,
		ValidArgsFunction: completeMoreBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, list, err := findBoards(args, all)
			if err != nil {
				return err
			}
			for _, p := range purposes {
				if !slices.Contains(allPurposes, p) {
					return usageError{fmt.Errorf("doctor: --for %s: known are %s", p, strings.Join(allPurposes, ", "))}
				}
			}
			d := doctor{out: c.OutOrStdout(), quiet: quiet}
			missing := d.examine(t, append(allNeeds(list), farmNeeds(t.Farm)...), purposes)
			if slices.Contains(purposes, "build") && len(missing) == 0 {
				if err := d.farm(c.Context(), t, list); err != nil {
					return err
				}
			}
			if len(missing) == 0 {
				return nil
			}
			if install {
				return d.install(c.Context(), missing)
			}
			return fmt.Errorf("doctor: packages are missing\nhint: %s", aptCommand(missing))
		},
	}
	c.Flags().BoolVar(&install, "install", false, "install the missing packages, if this user may")
	c.Flags().BoolVar(&all, "all-boards", false, "look at what any board needs")
	c.Flags().BoolVar(&quiet, "quiet", false, "say only what is missing")
	c.Flags().StringSliceVar(&purposes, "for", allPurposes, "look only at what this `work` needs: build, run, test, with commas between")
	_ = c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions(allPurposes, cobra.ShellCompDirectiveNoFileComp))
	return c
}

var allPurposes = []string{"build", "run", "test"}

type doctor struct {
	out   io.Writer
	quiet bool
}

// examine prints a line for each need and returns the packages that are missing.
func (d doctor) examine(t tree, all []need, purposes []string) []string {
	var missing []string
	for _, n := range all {
		if !slices.Contains(purposes, n.purpose) {
			continue
		}
		met := n.met()
		if !met && !slices.Contains(missing, n.pkg) {
			missing = append(missing, n.pkg)
		}
		if state := map[bool]string{true: "ok", false: "MISSING"}[met]; !d.quiet || !met {
			fmt.Fprintf(d.out, "%-8s %-6s %-18s %s\n", state, n.purpose, n.pkg, n.why)
		}
	}
	sort.Strings(missing)
	if !d.quiet {
		d.host(t)
	}
	return missing
}

// host prints what packages cannot mend.
func (d doctor) host(t tree) {
	fmt.Fprintf(d.out, "%-8s %-6s %s, %d processors\n", "ok", "build", runtime.Version(), runtime.NumCPU())
	const wanted = 8 << 30 // an unpacked and compiled kernel takes 4 GB, ccache 1
	dir := t.Cache
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil {
			break
		}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err == nil {
		free := fs.Bavail * uint64(fs.Bsize)
		state := "ok"
		if free < wanted {
			state = "LOW"
		}
		fmt.Fprintf(d.out, "%-8s %-6s %s free for the cache %s (a first build takes about 6 GiB)\n",
			state, "build", humanize.IBytes(free), t.Cache)
	}
}

// farmNeeds lists what the named compile farm calls for.
func farmNeeds(f build.Farm) []need {
	var list []need
	for _, p := range f.Programs() {
		list = append(list, need{p, p, "build", "the compile farm"})
	}
	return list
}

// farm prints what the compile farm answers. One that does not answer keeps
// nobody from building.
func (d doctor) farm(ctx context.Context, t tree, list []boards.Board) error {
	if err := t.Farm.Check(false); err != nil {
		return err
	}
	states, err := build.ExamineFarm(ctx, t.Farm, list)
	for _, s := range states {
		switch {
		case s.Err != nil:
			fmt.Fprintf(d.out, "%-8s %-6s farm: %s: %v\n", "UNUSABLE", "build", s.What, s.Err)
		case !d.quiet:
			fmt.Fprintf(d.out, "%-8s %-6s farm: %s\n", "ok", "build", s.What)
		}
	}
	return err
}

// install runs apt-get as root, or through sudo when that asks no password.
func (d doctor) install(ctx context.Context, pkgs []string) error {
	var prefix []string
	switch {
	case os.Geteuid() == 0:
	case exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil:
		prefix = []string{"sudo", "-n"}
	default:
		return fmt.Errorf("doctor: packages are missing, and this user is not root and has no sudo without a password\nhint: %s", aptCommand(pkgs))
	}
	fmt.Fprintf(d.out, "installing %s\n", strings.Join(pkgs, " "))
	apt := append(prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq")
	// A stale third-party list makes update fail though Debian's are fresh: what
	// counts is whether the packages can be installed.
	update, updateErr := aptGet(ctx, apt, "update")
	out, err := aptGet(ctx, apt, append([]string{"-y", "--no-install-recommends", "install"}, pkgs...)...)
	if err == nil {
		return nil
	}
	if updateErr != nil {
		out = append(update, out...)
	}
	return fmt.Errorf("doctor: install packages: %w\n%s\nhint: %s", err, tail(out), aptCommand(pkgs))
}

func aptGet(ctx context.Context, apt []string, args ...string) ([]byte, error) {
	args = append(slices.Clone(apt), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it lets dpkg end first
	return cmd.CombinedOutput()
}

// tail is the last 2000 bytes of a program's output.
func tail(out []byte) string { return strings.TrimSpace(string(out[max(0, len(out)-2000):])) }

func aptCommand(pkgs []string) string {
	return "sudo apt-get install --no-install-recommends " + strings.Join(pkgs, " ")
}
