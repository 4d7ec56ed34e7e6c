package flash

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"tench/boards"
	"tench/build/disk"
	"tench/identity"
)

// RouterConfig is the router.toml that the image has for its first generation.
func (img *Image) RouterConfig(ctx context.Context) ([]byte, error) {
	data, err := disk.ReadData(ctx, img.file, img.parts[dataPart].at, "config/1/router.toml")
	if err != nil {
		return nil, fmt.Errorf("flash: image %s: %w", img.Path, err)
	}
	return data, nil
}

// DataFiles are the files of a new box's data partition.
func DataFiles(router []byte, id identity.Identity) []disk.DataFile {
	files := disk.NewBox(router)
	for _, f := range id.Files() {
		files = append(files, disk.DataFile{Path: disk.IdentityDir + "/" + f.Path, Mode: f.Mode, Content: f.Content})
	}
	return files
}

// Data is a data partition in a file of its own, which holds secrets. It has no
// name, so that nothing is left of it after Close, nor where tench is killed, e.g.
// by the end of its terminal while it asks.
type Data struct{ file *os.File }

// MakeData makes a data partition with the given files, as large as the image's
// own, to take its place. It is made in memory where the machine has a file
// system for that, else in a folder that nobody else may read. The words of the
// ext4 tools go to log.
func (img *Image) MakeData(ctx context.Context, files []disk.DataFile, log io.Writer) (*Data, error) {
	f, err := img.makeData(ctx, files, log)
	if err != nil {
		return nil, fmt.Errorf("flash: %w", err)
	}
	return &Data{f}, nil
}

func (img *Image) makeData(ctx context.Context, files []disk.DataFile, log io.Writer) (*os.File, error) {
	dir, err := os.MkdirTemp(secretRoom("/dev/shm"), "tench-flash-*") // mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "data.img")
	// The image is the measure of itself: what boards/ says by now does not matter.
	b := boards.Board{Name: img.Board, Layout: boards.Layout{DataMiB: int(img.parts[dataPart].size / mib)}}
	id := disk.Identity{Seed: img.Release + "/" + img.Board, Epoch: img.Made, Release: img.Release}
	if err := disk.Data(ctx, b, files, id, path, log); err != nil {
		return nil, err
	}
	return os.Open(path)
}

// secretRoom is dir if that is in memory, else "" for the usual place.
func secretRoom(dir string) string {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC || unix.Access(dir, unix.W_OK) != nil {
		return ""
	}
	return dir
}

// ReadAt reads the partition.
func (d *Data) ReadAt(p []byte, at int64) (int, error) { return d.file.ReadAt(p, at) }

// Close gives back the room that the partition takes.
func (d *Data) Close() error { return d.file.Close() }
