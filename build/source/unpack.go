package source

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Unpack unpacks f into dir, which must be empty or not exist; a folder under
// development is copied. Modes and times of files and folders are kept, owners are
// not: the tree belongs to who unpacks it. The tree is made beside dir and renamed
// when it is complete, so a dir that is there is whole.
func Unpack(ctx context.Context, f Fetched, dir string, o Options) error {
	if err := unpack(ctx, f, dir, o); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		err = fmt.Errorf("unpack %s: %w", f.Name, err)
		if isFull(err) {
			err = fmt.Errorf("%w\nhint: free some space for %s", err, filepath.Dir(dir))
		}
		return err
	}
	return nil
}

func unpack(ctx context.Context, f Fetched, dir string, o Options) error {
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("make folder: %w", err)
	}
	tmp := filepath.Clean(dir) + ".unpacking"
	if err := os.RemoveAll(tmp); err != nil { // an interrupted run's
		return err
	}
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	err := unpackTo(ctx, f, tmp, o)
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		_ = os.RemoveAll(tmp)
	}
	return err
}

func unpackTo(ctx context.Context, f Fetched, dir string, o Options) error {
	if f.Development {
		return copyTree(ctx, f, dir, o)
	}
	if f.Unpack.Deb {
		return unpackDeb(ctx, f, dir, o)
	}
	in, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	return unpackTar(ctx, in, f.Size, dir, o)
}

// unpackDeb unpacks a package's data tree, or the archive inside it.
func unpackDeb(ctx context.Context, f Fetched, dir string, o Options) error {
	data, err := start(ctx, nil, "dpkg-deb", "--fsys-tarfile", f.Path)
	if err != nil {
		return err
	}
	defer data.Close()
	if f.Unpack.Inner == "" {
		return data.finish(extract(ctx, data, dir, 0))
	}
	return data.finish(unpackInner(ctx, data, f.Unpack.Inner, dir, o))
}

// unpackInner unpacks the archive called name inside the tar stream data.
func unpackInner(ctx context.Context, data io.Reader, name, dir string, o Options) error {
	t := tar.NewReader(data)
	for {
		h, err := t.Next()
		if err == io.EOF {
			return fmt.Errorf("there is no %s in the package", name)
		}
		if err != nil {
			return fmt.Errorf("read package: %w", err)
		}
		if path.Clean(h.Name) == name && h.Typeflag == tar.TypeReg {
			return unpackTar(ctx, t, h.Size, dir, o)
		}
	}
}

// unpackTar unpacks a tar archive of size bytes, compressed or not, without
// its top folder.
func unpackTar(ctx context.Context, r io.Reader, size int64, dir string, o Options) error {
	counted := &countReader{r: ctxReader{ctx, r}, tell: func(n int64) { o.bytes(n, size) }}
	in := bufio.NewReaderSize(counted, 1<<20)
	magic, err := in.Peek(6)
	if err != nil {
		return fmt.Errorf("read archive: %w", err)
	}
	switch {
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return unpackThrough(ctx, in, dir, "xz", "--decompress", "--stdout", "--threads=0")
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		return unpackThrough(ctx, in, dir, "zstd", "--decompress", "--stdout", "--quiet")
	case bytes.HasPrefix(magic, []byte("BZh")):
		return extract(ctx, bzip2.NewReader(in), dir, 1)
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		if err := extract(ctx, z, dir, 1); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, z) // the checksum comes last
		return err
	}
	return extract(ctx, in, dir, 1)
}

// unpackThrough unpacks what a decompressor makes of in.
func unpackThrough(ctx context.Context, in io.Reader, dir, name string, args ...string) error {
	p, err := start(ctx, in, name, args...)
	if err != nil {
		return err
	}
	defer p.Close()
	return p.finish(extract(ctx, p, dir, 1))
}

// process is a program whose output is read.
type process struct {
	io.Reader
	cmd    *exec.Cmd
	out    io.Closer
	stderr bytes.Buffer
	err    error
	waited bool
}

// start starts a program that reads in and whose output is read.
func start(ctx context.Context, in io.Reader, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...)}
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.Stdin, p.cmd.Stderr = in, &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = out
	p.Reader = bufio.NewReaderSize(out, 1<<20)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w\nhint: tench doctor says which package has it", name, err)
	}
	return p, nil
}

// finish reads the rest of the output, an archive's padding, and waits for the
// program's end. err is what reading the output before came to: a program that
// ended badly is the cause of it.
func (p *process) finish(err error) error {
	if err == nil {
		if _, err := io.Copy(io.Discard, p); err != nil {
			return err
		}
		return p.wait()
	}
	if _, end := p.Read(make([]byte, 1)); end == io.EOF {
		if cause := p.wait(); cause != nil {
			return cause
		}
	}
	return err
}

func (p *process) wait() error {
	if p.waited {
		return p.err
	}
	p.waited = true
	if err := p.cmd.Wait(); err != nil {
		p.err = fmt.Errorf("%s: %w: %s", p.cmd.Args[0], err, strings.TrimSpace(p.stderr.String()))
	}
	return p.err
}

// Close ends the program, if it still runs.
func (p *process) Close() error {
	p.out.Close() // a program that still writes ends by SIGPIPE
	return p.wait()
}
