// Package packed unpacks the u-root commands when one of them is first called.
//
//	packed.go  Wanted, Exec
//
// In the initramfs /bin/bb is a link to tenchd, and the busybox that it should
// be is packed beside it (see build/rootfs). So the first `ls` is tenchd by the
// name of ls: it unpacks the busybox, puts it in the link's place and becomes it.
// A box on which nobody calls a command never spends the time, nor the memory.
package packed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Bin is the folder of the commands on the box.
const Bin = "/bin"

const (
	busybox = "bb"
	archive = busybox + ".zst"
)

// Wanted reports whether a program that was called by the name argv0 is one of
// the commands in the folder bin, and not tenchd.
func Wanted(bin, argv0 string) bool {
	name := filepath.Base(argv0)
	for range 3 { // sh is a link to gosh, and that one to bb
		if name == busybox {
			return true
		}
		target, err := os.Readlink(filepath.Join(bin, name))
		if err != nil || filepath.Base(target) != target {
			return false
		}
		name = target
	}
	return false
}

// Exec becomes the command that args call. It returns only with an error.
func Exec(bin string, args []string) error {
	path := filepath.Join(bin, busybox)
	if err := unpack(bin); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := os.Readlink(path); err == nil { // tenchd would call itself for ever
		return fmt.Errorf("%s: there is no %s to unpack", path, archive)
	}
	return fmt.Errorf("%s: %w", path, unix.Exec(path, args, os.Environ()))
}

// unpack puts the busybox into the folder bin, and removes the archive. Of
// several at once one does it, and the others wait.
func unpack(bin string) error {
	packed, err := os.Open(filepath.Join(bin, archive))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // done
	}
	if err != nil {
		return err
	}
	defer packed.Close() // and with it the lock
	if err := unix.Flock(int(packed.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", packed.Name(), err)
	}
	if _, err := os.Lstat(packed.Name()); errors.Is(err, fs.ErrNotExist) {
		return nil // while we waited
	}
	if err := write(packed, filepath.Join(bin, busybox)); err != nil {
		return err
	}
	return os.Remove(packed.Name())
}

// write unpacks to path, which changes when all of it is there. Nothing is
// written to a disk: the root is in RAM.
func write(packed io.Reader, path string) error {
	z, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	fresh := path + ".new"
	out, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = z.WriteTo(out)
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		_ = os.Remove(fresh)
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}
