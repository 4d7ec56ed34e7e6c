package rootfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"

	"tench/overlays"
)

// compressor packs the archive. Level 19 on one thread always gives the same
// bytes; xz is 9 % smaller and costs the box several times the CPU to unpack,
// in every boot.
var compressor = []string{"zstd", "-19", "--single-thread", "-q", "-c"}

// writeArchive writes both archives to file and returns its size. The file
// appears whole or not at all.
func writeArchive(ctx context.Context, list []overlays.Entry, file string, o Options) (int64, error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return 0, err
	}
	out, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o644))
	if err != nil {
		return 0, err
	}
	defer out.Cleanup()
	first, rest := split(list)
	if err := writePlain(out, first, o); err != nil {
		return 0, fmt.Errorf("write %s: %w", file, err)
	}
	if err := compress(ctx, rest, out, o); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return 0, fmt.Errorf("write %s: %w", file, err)
	}
	size, err := out.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	return size, out.CloseAtomicallyReplace()
}

// split takes out what is packed already, with the folder that it is in.
func split(list []overlays.Entry) (packed, rest []overlays.Entry) {
	for _, e := range list {
		if e.Path == packedName || e.Path == path.Dir(packedName) {
			packed = append(packed, e)
		} else {
			rest = append(rest, e)
		}
	}
	return packed, rest
}

// alignment is where the second archive may begin. The kernel wants multiples of
// four; whole blocks of an update (release/slotimage) hold the commands alone.
const alignment = 4096

// writePlain writes an archive as it is, and zeros up to where the next begins.
func writePlain(out io.WriteSeeker, list []overlays.Entry, o Options) error {
	if err := writeCPIO(out, list, o.Epoch.Unix()); err != nil {
		return err
	}
	size, err := out.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	_, err = out.Write(make([]byte, -size&(alignment-1)))
	return err
}

// compress writes the archive into the compressor and its output to out.
func compress(ctx context.Context, list []overlays.Entry, out *renameio.PendingFile, o Options) error {
	cmd := exec.CommandContext(ctx, compressor[0], compressor[1:]...)
	cmd.Stdout, cmd.Stderr = out.File, o.Log
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	writeErr := writeCPIO(pipe, list, o.Epoch.Unix())
	closeErr := pipe.Close()
	// When zstd died, its own end says more than our broken pipe.
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", compressor[0], err)
	}
	if writeErr != nil {
		return writeErr
	}
	return closeErr
}

// writeCPIO writes the list in the "newc" format, which the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst of Linux).
func writeCPIO(w io.Writer, list []overlays.Entry, epoch int64) error {
	archive := cpio.Newc.Writer(w)
	for i, e := range list {
		if err := archive.WriteRecord(record(e, uint64(i+1), uint64(epoch))); err != nil {
			return fmt.Errorf("/%s: %w", e.Path, err)
		}
	}
	return cpio.WriteTrailer(archive)
}

// devices are the numbers of the nodes in the archive
// (Documentation/admin-guide/devices.txt of Linux).
var devices = map[string][2]uint64{
	"dev/console": {5, 1},
	"dev/null":    {1, 3},
}

func record(e overlays.Entry, inode, epoch uint64) cpio.Record {
	info := cpio.Info{Name: e.Path, Ino: inode, MTime: epoch, NLink: 1, Mode: uint64(e.Mode.Perm())}
	if e.Mode&fs.ModeSticky != 0 {
		info.Mode |= unix.S_ISVTX
	}
	content := e.Data
	switch e.Mode.Type() {
	case fs.ModeDir:
		info.Mode |= unix.S_IFDIR
		info.NLink = 2
	case fs.ModeSymlink:
		info.Mode |= unix.S_IFLNK
		content = []byte(e.Link)
	case fs.ModeDevice | fs.ModeCharDevice:
		info.Mode |= unix.S_IFCHR
		info.Rmajor, info.Rminor = devices[e.Path][0], devices[e.Path][1]
	default:
		info.Mode |= unix.S_IFREG
	}
	if len(content) == 0 {
		return cpio.Record{Info: info}
	}
	info.FileSize = uint64(len(content))
	return cpio.Record{ReaderAt: bytes.NewReader(content), Info: info}
}
