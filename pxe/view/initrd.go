package view

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// Where tenchd looks for what the server has to say to it.
const (
	netbootPath = "etc/tench/netboot.json"
	routerPath  = "etc/tench/netboot/router.toml"
)

// initrd is the initramfs of one box: that of the release, and behind it an
// archive of its own. Linux unpacks one archive after the other, packed or not,
// and lets zeros lie between them; one that is not packed must begin at a
// multiple of four bytes (Documentation/driver-api/early-userspace/buffer-format.rst).
// It is one file because not every loader can load two.
func (b Box) initrd() (File, error) {
	own, err := b.archive()
	if err != nil {
		return nil, err
	}
	first, err := b.Initrd()
	if err != nil {
		return nil, err
	}
	gap := (4 - first.Size()%4) % 4
	return joined{first, append(make([]byte, gap), own...)}, nil
}

// archive has the files of one box alone, in the "newc" format.
func (b Box) archive() ([]byte, error) {
	files := []cpio.Record{folder("etc"), folder("etc/tench"), private(netbootPath, b.Netboot)}
	if b.Router != nil {
		files = append(files, folder("etc/tench/netboot"), private(routerPath, b.Router))
	}
	var out bytes.Buffer
	w := cpio.Newc.Writer(&out)
	for i, f := range files {
		f.Ino = uint64(i + 1)
		if err := w.WriteRecord(f); err != nil {
			return nil, fmt.Errorf("initrd: write /%s: %w", f.Name, err)
		}
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return nil, fmt.Errorf("initrd: %w", err)
	}
	return out.Bytes(), nil
}

// folder may be there already; the mode is that of the release's archive.
func folder(name string) cpio.Record {
	return cpio.Record{Info: cpio.Info{Name: name, Mode: unix.S_IFDIR | 0o755, NLink: 2}}
}

// private is a file for root: it has the token of an install.
func private(name string, data []byte) cpio.Record {
	return cpio.Record{
		Info:     cpio.Info{Name: name, Mode: unix.S_IFREG | 0o600, NLink: 1, FileSize: uint64(len(data))},
		ReaderAt: bytes.NewReader(data),
	}
}

// joined is a file and what follows it.
type joined struct {
	File
	tail []byte
}

func (j joined) Size() int64 { return j.File.Size() + int64(len(j.tail)) }

// ReadAt reads from both parts, of which only the second has an end.
func (j joined) ReadAt(p []byte, at int64) (int, error) {
	head := j.File.Size()
	n := 0
	if at < head {
		want := min(int64(len(p)), head-at)
		got, err := j.File.ReadAt(p[:want], at)
		if n = got; int64(got) < want {
			return n, errors.Join(err, io.ErrUnexpectedEOF)
		}
	}
	if n == len(p) {
		return n, nil
	}
	got, err := bytes.NewReader(j.tail).ReadAt(p[n:], at+int64(n)-head)
	return n + got, err
}
