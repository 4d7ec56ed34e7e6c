package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"tench/boards"
	"tench/release"
)

// runOptions are the flags of tench run.
type runOptions struct {
	release  release.Release
	products string   // folder with the board's products of that release
	firmware string   // bios or uefi
	image    string   // instead of the board's product
	fresh    bool     // forget what the last run wrote to its disk
	disk     string   // how the stick is attached, instead of the board's
	memory   int      // MiB, instead of the board's smallest
	accel    string   // how QEMU runs the guest's code: tcg or kvm
	nic      string   // QEMU's network cards, instead of the board's
	lan      string   // QEMU netdev for the LAN port
	writeLog string   // file for a log of all writes to the disk; "" for none
	extra    []string // further QEMU arguments
}

// quietLAN is a network with one host, 192.168.1.254, and no way out.
const quietLAN = "user,restrict=on,net=192.168.1.0/24,host=192.168.1.254,ipv6=off"

func runCommand() *cobra.Command {
	var o runOptions
	var name string
	c := &cobra.Command{
		Use:   "run [BOARD]",
		Short: "Boot a board's image in QEMU",
		Long: `run boots the image in QEMU with the box's serial console in this terminal. The
first port has a user-mode network with a DHCP server; behind the second one is
a network of its own with the host 192.168.1.254. ctrl-A X quits QEMU, ctrl-A C
opens its monitor.

The box writes to a copy of the image, which is kept for the next run of the
same image; --fresh starts again from the image.`,
		Example: `  tench run
  tench run qemu-amd64 --firmware uefi --fresh
  tench run --disk usb-storage           boot from a USB stick instead`,
		Args:              between(0, 1),
		ValidArgsFunction: completeBoards,
		RunE: func(c *cobra.Command, args []string) error {
			t, b, err := findBoard(args)
			if err != nil {
				return err
			}
			r, err := t.release(name)
			if err != nil {
				return err
			}
			o.release, o.products = r, t.out(r, b)
			return runQEMU(c.Context(), c.ErrOrStderr(), b, o)
		},
	}
	oneRelease(c, &name)
	f := c.Flags()
	f.StringVar(&o.firmware, "firmware", "", "the `firmware` to boot with: bios or uefi (default: the board's first)")
	f.StringVar(&o.image, "image", "", "boot this image `file` instead of the board's product")
	f.BoolVar(&o.fresh, "fresh", false, "forget what the last run wrote")
	f.StringVar(&o.disk, "disk", "", "attach the image as this QEMU `device`, e.g. ide-hd or usb-storage")
	f.StringVar(&o.nic, "nic", "", "the ports are cards of this QEMU `device`, e.g. e1000 (default: the board's)")
	f.Var((*number)(&o.memory), "memory", "memory in `MiB` (default: the board's smallest)")
	// A /dev/kvm that opens may still fail in the guest, as nested ones do; the
	// box needs three seconds without it.
	f.StringVar(&o.accel, "accel", "tcg", "`how` QEMU runs the box's code: tcg works everywhere, kvm is quicker where it works")
	f.StringVar(&o.lan, "lan", quietLAN, "QEMU `netdev` behind the second port")
	f.StringVar(&o.writeLog, "log-writes", "", "log every write to the disk to this `file`, in the format of Linux' dm-log-writes")
	f.StringArrayVar(&o.extra, "qemu", nil, "a further `argument` for QEMU; may be repeated")
	_ = c.RegisterFlagCompletionFunc("firmware", cobra.FixedCompletions([]string{"bios", "uefi"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("accel", cobra.FixedCompletions([]string{"tcg", "kvm"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// runQEMU replaces this process with QEMU, so that signals, the terminal and
// the exit status are QEMU's own.
func runQEMU(ctx context.Context, stderr io.Writer, b boards.Board, o runOptions) error {
	if b.QEMU.System == "" {
		return fmt.Errorf("run %s: QEMU has no machine like this board\nhint: tench run qemu-amd64 shows what a box does", b.Name)
	}
	qemu, err := exec.LookPath("qemu-system-" + b.QEMU.System)
	if err != nil {
		return fmt.Errorf("run %s: %w\nhint: tench doctor %[1]s --for run", b.Name, err)
	}
	if o.firmware == "" {
		o.firmware = b.Firmware[0]
	}
	if !slices.Contains(b.Firmware, o.firmware) {
		return usageError{fmt.Errorf("run %s: firmware %q: the board has %s", b.Name, o.firmware, strings.Join(b.Firmware, ", "))}
	}
	if o.image == "" {
		o.image = filepath.Join(o.products, release.ImageName(b.Name))
		if _, err := os.Stat(o.image); err != nil {
			return fmt.Errorf("run %s: %w", b.Name, notBuilt(o.release, b, o.image))
		}
	}
	// Beside the products, which are a whole that `tench verify` looks at.
	dir := filepath.Join(filepath.Dir(o.products), ".run", b.Name)
	if o.disk == "" && o.firmware == "uefi" {
		o.disk = b.QEMU.UEFIDisk
	}
	if o.disk == "" {
		o.disk = b.QEMU.Disk
	}
	disk, err := runDisk(o.image, dir, o.fresh)
	if errors.Is(err, errRuns) {
		return fmt.Errorf("run %s: %w\nhint: ctrl-A X in its terminal quits it", b.Name, err)
	}
	if err == nil && o.disk == diskSD {
		err = growSD(disk)
	}
	if err == nil && o.writeLog != "" {
		err = newWriteLog(o)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", b.Name, err)
	}
	args, err := qemuArgs(b, o, disk, dir)
	if err != nil {
		return fmt.Errorf("run %s: %w", b.Name, err)
	}
	if err := ctx.Err(); err != nil { // while the image was copied
		return fmt.Errorf("run %s: %w", b.Name, err)
	}
	args = append([]string{qemu}, args...)
	fmt.Fprintf(stderr, "tench: %s boots with %s in QEMU; ctrl-A X quits\n", b.Name, o.firmware)
	return fmt.Errorf("run %s: start %s: %w", b.Name, qemu, syscall.Exec(qemu, args, os.Environ()))
}

// newWriteLog makes the empty file that QEMU wants for its log of writes.
func newWriteLog(o runOptions) error {
	if o.disk == diskSD {
		return errors.New("QEMU cannot log the writes to a card slot\nhint: --disk usb-storage")
	}
	return os.WriteFile(o.writeLog, nil, 0o644)
}

// errRuns is the error where a machine has the disk.
var errRuns = errors.New("the board runs in QEMU already")

// lockRun keeps the folder of a board's disk for this process, and for the QEMU
// that takes its place: another copy of the image under a machine that runs would
// be a disk that changes under it, and QEMU's own lock comes after the copying.
func lockRun(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0) // for QEMU, too: no O_CLOEXEC
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return errors.Join(errRuns, unix.Close(fd))
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	return nil
}

// runDisk returns the disk to boot: a copy of the image that the box may write
// to. It is made anew when the image is another one than the last time.
func runDisk(image, dir string, fresh bool) (string, error) {
	info, err := os.Stat(image)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if err := lockRun(dir); err != nil {
		return "", err
	}
	disk, stamp := filepath.Join(dir, "disk.img"), filepath.Join(dir, "disk.stamp")
	want := fmt.Sprintf("%s %d %d\n", image, info.Size(), info.ModTime().UnixNano())
	have, _ := os.ReadFile(stamp)
	if _, err := os.Stat(disk); err == nil && string(have) == want && !fresh {
		return disk, nil
	}
	os.Remove(stamp)
	if err := copySparse(image, disk); err != nil {
		return "", err
	}
	return disk, os.WriteFile(stamp, []byte(want), 0o644)
}

// growSD makes the card's size a power of two, as QEMU wants it.
func growSD(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	size := int64(1 << 20)
	for size < info.Size() {
		size *= 2
	}
	return os.Truncate(path, size)
}

// copySparse copies a file and leaves holes where it holds only zeros.
func copySparse(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	buf, zero := make([]byte, 1<<16), make([]byte, 1<<16)
	for eof := false; !eof; {
		n, err := io.ReadFull(in, buf)
		eof = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err == nil || eof {
			err = writeOrSkip(out, buf[:n], zero[:n])
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", from, err)
		}
	}
	size, err := out.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return errors.Join(out.Truncate(size), out.Close())
}

func writeOrSkip(out *os.File, block, zero []byte) error {
	var err error
	if bytes.Equal(block, zero) {
		_, err = out.Seek(int64(len(block)), io.SeekCurrent)
	} else {
		_, err = out.Write(block)
	}
	return err
}
