package rootfs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"tench/internal/flist"
)

// Read lists what the initramfs in file holds, in the order of the archive. It
// shares nothing with the code that wrote it, so that a mistake there is seen.
func Read(ctx context.Context, file string) ([]flist.Entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("rootfs: %w", err)
	}
	defer f.Close()
	list, err := readArchives(ctx, bufio.NewReader(f))
	if err != nil {
		return nil, fmt.Errorf("rootfs: read %s: %w", file, err)
	}
	return list, nil
}

// readArchives reads what the kernel unpacks: archives as they are, zeros
// between them, and at the end one in zstd.
func readArchives(ctx context.Context, r *bufio.Reader) ([]flist.Entry, error) {
	seen := map[string]bool{}
	var list []flist.Entry
	for {
		next, err := r.Peek(1)
		if err == io.EOF && len(list) > 0 {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		switch next[0] {
		case 0:
			_, _ = r.Discard(1)
			continue
		case newcMagic[0]:
			c := newcReader{r: r}
			part, err := c.archive(seen)
			if err != nil {
				return nil, err
			}
			list = append(list, part...)
		default:
			part, err := readPacked(ctx, r, seen)
			return append(list, part...), err
		}
	}
}

// readPacked reads the archive in what zstd unpacks from r.
func readPacked(ctx context.Context, r io.Reader, seen map[string]bool) ([]flist.Entry, error) {
	cmd := exec.CommandContext(ctx, "zstd", "-dcq")
	var complaint strings.Builder
	cmd.Stdin, cmd.Stderr = r, &complaint
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := newcReader{r: bufio.NewReader(pipe)}
	list, err := c.archive(seen)
	if err == nil {
		err = c.end()
	}
	if err != nil {
		_, _ = io.Copy(io.Discard, pipe) // let zstd come to its own end
	}
	if failed := cmd.Wait(); failed != nil {
		err = fmt.Errorf("zstd: %w: %s", failed, strings.TrimSpace(complaint.String()))
	}
	return list, err
}

const (
	newcMagic   = "070701"
	newcTrailer = "TRAILER!!!"
	newcHeader  = 6 + 13*8 // the magic and 13 numbers of eight hex digits
	maxPath     = 4096     // PATH_MAX of Linux
)

// Places of the numbers in a header.
const (
	newcMode     = 1
	newcUID      = 2
	newcGID      = 3
	newcSize     = 6
	newcMajor    = 9
	newcMinor    = 10
	newcNameSize = 11
)

// archive reads an archive in the "newc" format, see writeCPIO. seen are the
// paths of the archives before it.
func (c *newcReader) archive(seen map[string]bool) ([]flist.Entry, error) {
	var list []flist.Entry
	for {
		e, err := c.entry()
		if err != nil {
			return nil, fmt.Errorf("entry %d at byte %d: %w", len(list)+1, c.at, err)
		}
		if e.Path == newcTrailer {
			return list, nil
		}
		if err := e.Check(); err != nil {
			return nil, err
		}
		if seen[e.Path] {
			return nil, fmt.Errorf("%s is in the initramfs twice", e.Path)
		}
		seen[e.Path] = true
		list = append(list, e)
	}
}

type newcReader struct {
	r  *bufio.Reader
	at int64
}

func (c *newcReader) take(n int64) ([]byte, error) {
	data := make([]byte, n)
	read, err := io.ReadFull(c.r, data)
	c.at += int64(read)
	return data, err
}

func (c *newcReader) skip(n int64) error {
	skipped, err := io.CopyN(io.Discard, c.r, n)
	c.at += skipped
	return err
}

// pad skips to the next multiple of four, where names and contents end.
func (c *newcReader) pad() error { return c.skip(-c.at & 3) }

func (c *newcReader) entry() (flist.Entry, error) {
	header, err := c.take(newcHeader)
	if err != nil {
		return flist.Entry{}, err
	}
	if string(header[:len(newcMagic)]) != newcMagic {
		return flist.Entry{}, fmt.Errorf("magic %q is not %s", header[:len(newcMagic)], newcMagic)
	}
	var numbers [13]uint32
	for i := range numbers {
		digits := header[len(newcMagic)+8*i:][:8]
		n, err := strconv.ParseUint(string(digits), 16, 32)
		if err != nil {
			return flist.Entry{}, fmt.Errorf("number %q is not hexadecimal", digits)
		}
		numbers[i] = uint32(n)
	}
	name, err := c.text(int64(numbers[newcNameSize]))
	if err != nil {
		return flist.Entry{}, fmt.Errorf("name: %w", err)
	}
	e := flist.Entry{Path: strings.TrimSuffix(name, "\x00"), Mode: fileMode(numbers[newcMode]), UID: numbers[newcUID], GID: numbers[newcGID]}
	if e.Mode&fs.ModeDevice != 0 {
		e.Device = fmt.Sprintf("%d,%d", numbers[newcMajor], numbers[newcMinor])
	}
	if e.Mode.Type() == fs.ModeSymlink {
		e.Target, err = c.text(int64(numbers[newcSize]))
		return e, err
	}
	return e, errors.Join(c.skip(int64(numbers[newcSize])), c.pad())
}

// text takes a name or a link's target of n bytes.
func (c *newcReader) text(n int64) (string, error) {
	if n < 1 || n > maxPath {
		return "", fmt.Errorf("%d bytes are not between 1 and %d", n, maxPath)
	}
	data, err := c.take(n)
	if err != nil {
		return "", err
	}
	return string(data), c.pad()
}

// end wants nothing but zeros behind the trailer: the kernel would unpack
// another archive there, which nobody has declared.
func (c *newcReader) end() error {
	for {
		b, err := c.r.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if b != 0 {
			return errors.New("there is more behind the end of the archive")
		}
	}
}

// fileMode turns the mode of inode(7) into Go's.
func fileMode(mode uint32) fs.FileMode {
	kinds := map[uint32]fs.FileMode{
		unix.S_IFREG: 0, unix.S_IFDIR: fs.ModeDir, unix.S_IFLNK: fs.ModeSymlink, unix.S_IFBLK: fs.ModeDevice,
		unix.S_IFCHR: fs.ModeDevice | fs.ModeCharDevice, unix.S_IFIFO: fs.ModeNamedPipe, unix.S_IFSOCK: fs.ModeSocket,
	}
	m, ok := kinds[mode&unix.S_IFMT]
	if !ok {
		m = fs.ModeIrregular
	}
	m |= fs.FileMode(mode & 0o777)
	for bit, special := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if mode&bit != 0 {
			m |= special
		}
	}
	return m
}
