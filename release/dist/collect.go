package dist

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"tench/release"
)

// packer compresses images. Its window of 128 MiB, the largest that zstd unpacks
// without being asked, reaches from slot B back to slot A, so that the second one
// costs nothing. Higher levels gain nothing: a slot is compressed already.
var packer = []string{"zstd", "-9", "--long=27", "--single-thread", "-q", "-c"}

// collector copies the files of one board.
type collector struct {
	board Board
	dir   string // the release's directory
	o     Options
}

// collect puts the board's files and its manifest into the directory, and
// returns them as they lie there.
func (c collector) collect(ctx context.Context) ([]release.Product, error) {
	m := c.board.Built
	if m.Release != c.o.Name || m.Board != c.board.Name {
		return nil, fmt.Errorf("%s holds board %s of release %s\nhint: tench image %s builds it for this one", c.board.Dir, m.Board, m.Release, c.board.Name)
	}
	if err := c.complete(m); err != nil {
		return nil, err
	}
	var files []release.Product
	for _, p := range m.Products {
		c.o.Start(p.File)
		file, err := c.one(ctx, p)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	name := release.ManifestName(c.board.Name)
	if err := portable(m).Write(filepath.Join(c.dir, name)); err != nil {
		return nil, err
	}
	file, err := sumOf(c.dir, name)
	return append(files, file), err
}

// complete refuses the products of an older tench, which left fewer.
func (c collector) complete(m release.Manifest) error {
	b := c.board.Name
	for _, name := range []string{release.ImageName(b), release.SlotName(b), release.KernelName(b), release.InitrdName(b), release.SBOMName(b), release.ConfigName(b), release.FilesName(b)} {
		if m.Product(name).File == "" {
			return fmt.Errorf("%s has no %s\nhint: tench image %s builds it again", c.board.Dir, name, b)
		}
	}
	return nil
}

// portable leaves out of a manifest what differs between two machines that
// build the same: what was in the cache, and which mirror had the sources.
func portable(m release.Manifest) release.Manifest {
	m.Steps = []release.Ran{}
	inputs := make([]release.Used, len(m.Inputs))
	for i, in := range m.Inputs {
		in.From = ""
		inputs[i] = in
	}
	m.Inputs = inputs
	return m
}

// one copies a product, an image packed, and checks it on the way.
func (c collector) one(ctx context.Context, p release.Product) (release.Product, error) {
	name := p.File
	if name == release.ImageName(c.board.Name) {
		name = release.PackedImageName(c.board.Name)
	}
	from, err := os.Open(filepath.Join(c.board.Dir, p.File))
	if err != nil {
		return release.Product{}, err
	}
	defer from.Close()
	to, err := newSummed(filepath.Join(c.dir, name))
	if err != nil {
		return release.Product{}, err
	}
	read := sha256.New()
	if name == p.File {
		_, err = io.Copy(to, io.TeeReader(from, read))
	} else {
		err = pack(ctx, to, io.TeeReader(from, read))
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return release.Product{}, fmt.Errorf("copy %s: %w", from.Name(), err)
	}
	if hex.EncodeToString(read.Sum(nil)) != p.SHA256 {
		return release.Product{}, fmt.Errorf("%s is not what was built for the release\nhint: did another tench build %s meanwhile? the same command builds it again", from.Name(), c.board.Name)
	}
	return to.product(name), ctx.Err()
}

func pack(ctx context.Context, to *summed, from io.Reader) error {
	cmd := exec.CommandContext(ctx, packer[0], packer[1:]...)
	cmd.Stdin, cmd.Stdout = from, to
	if err := cmd.Run(); err != nil {
		if err := cmp.Or(ctx.Err(), to.err); err != nil {
			return err // zstd only saw its pipe break
		}
		return fmt.Errorf("%s: %w\nhint: tench doctor --for build", packer[0], err)
	}
	return nil
}

// summed is a file that knows the hash and the size of what was written to it.
type summed struct {
	*os.File
	hash hash.Hash
	size int64
	err  error // the first of Write
}

func newSummed(path string) (*summed, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	return &summed{File: f, hash: sha256.New()}, err
}

func (s *summed) Write(b []byte) (int, error) {
	n, err := s.File.Write(b)
	s.err = cmp.Or(s.err, err)
	s.hash.Write(b[:n])
	s.size += int64(n)
	return n, err
}

// ReadFrom hides that of os.File, which would write past the hash.
func (s *summed) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{s}, r)
}

func (s *summed) product(name string) release.Product {
	return release.Product{File: name, Size: s.size, SHA256: hex.EncodeToString(s.hash.Sum(nil))}
}

// put writes a file of the release's own.
func put(dir, name string, data []byte) (release.Product, error) {
	f, err := newSummed(filepath.Join(dir, name))
	if err != nil {
		return release.Product{}, err
	}
	_, err = f.Write(data)
	return f.product(name), errors.Join(err, f.Close())
}

// sumOf is a file that lies in dir already.
func sumOf(dir, name string) (release.Product, error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return release.Product{}, err
	}
	sum := sha256.Sum256(data)
	return release.Product{File: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}, nil
}
