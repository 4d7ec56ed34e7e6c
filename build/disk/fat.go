package disk

import (
	"fmt"
	"os"
	"path"
	"time"

	"github.com/diskfs/go-diskfs/backend"
	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
	"github.com/diskfs/go-diskfs/filesystem/fat32"
)

// fatType is the width of a FAT's entries in bits: 16 or 32.
type fatType int

// volume describes one FAT file system.
type volume struct {
	fat     fatType
	sizeMiB int
	key     string // of board.toml, raised when the files do not fit
	label   string // at most 11 characters
	serial  uint32
	epoch   time.Time
	files   []fatFile // written in this order, each in one run of clusters
}

// fatFile is a file of a volume; its folders are made as needed.
type fatFile struct {
	path string // slash-separated, without a leading slash
	data []byte
}

// write makes the volume in f, which is empty and has the volume's size.
func (v volume) write(f *os.File) error {
	if err := v.fits(); err != nil {
		return err
	}
	fs, err := v.create(file.New(f, false))
	if err != nil {
		return fmt.Errorf("make FAT%d file system: %w", v.fat, err)
	}
	for _, file := range v.files {
		if err := put(fs, file); err != nil {
			return fmt.Errorf("write /%s: %w", file.path, err)
		}
	}
	return v.mend(f)
}

func (v volume) create(b backend.Storage) (filesystem.FileSystem, error) {
	size := int64(v.sizeMiB) * mib
	if v.fat == 32 {
		return fat32.Create(b, size, 0, sector, v.label, true)
	}
	return fat16.Create(b, size, 0, sector, v.label, true)
}

// put writes one file. The whole content goes into one call: go-diskfs writes
// both FATs again on each Write.
func put(fs filesystem.FileSystem, file fatFile) error {
	if dir := path.Dir(file.path); dir != "." {
		if err := fs.Mkdir(dir); err != nil {
			return err
		}
	}
	f, err := fs.OpenFile(file.path, os.O_CREATE|os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(file.data)
	return err
}

// fits refuses files that are larger than the volume, and empty ones, to which
// go-diskfs gives a cluster against the rules. It counts a little too much: whole 32 KiB clusters, the two FATs as 1/64 (FAT32 with clusters of one
// sector), and 64 KiB for the root folder and the boot sectors.
func (v volume) fits() error {
	const cluster, fixed = 32 << 10, 64 << 10
	need := int64(fixed)
	for _, f := range v.files {
		if len(f.data) == 0 {
			return fmt.Errorf("/%s: the file is empty", f.path)
		}
		need += (int64(len(f.data))+cluster-1)/cluster*cluster + cluster
	}
	need += need / 63
	if needMiB := (need + mib - 1) / mib; needMiB > int64(v.sizeMiB) {
		return fmt.Errorf("the files need %d MiB, but %s is %d\nhint: set %s in board.toml to %d or more",
			needMiB, v.key, v.sizeMiB, v.key, needMiB)
	}
	return nil
}
