package cache

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Product is what a step made.
type Product struct {
	Step   string
	Key    string
	Dir    string        // the folder with its files; not to be written to
	Hit    bool          // it was in the store
	Took   time.Duration // of this run, not of the build that made it
	CPU    time.Duration // processor time of the build that made it, with its programs
	Size   int64         // bytes in all files
	Files  []ProductFile // in the order of their names
	Log    string        // path of the log of the build that made it
	Inputs []Input       // in the order of their names
}

// ProductFile is a file or a symbolic link of a product.
type ProductFile struct {
	Name   string      `json:"name"`   // below Product.Dir, with slashes
	SHA256 string      `json:"sha256"` // of the content, or of a link's target
	Size   int64       `json:"size"`   // bytes, of a link's target too
	Mode   fs.FileMode `json:"mode"`
}

// Path returns the path of one of the product's files.
func (p Product) Path(name string) string { return filepath.Join(p.Dir, filepath.FromSlash(name)) }

// FileHash returns the hash of one of the product's files.
func (p Product) FileHash(name string) (string, error) {
	for _, f := range p.Files {
		if f.Name == name {
			return f.SHA256, nil
		}
	}
	return "", fmt.Errorf("cache: step %s made no %s", p.Step, name)
}

// Hash returns a hash over names, modes and contents of the product's files.
func (p Product) Hash() string {
	var b strings.Builder
	for _, f := range p.Files {
		fmt.Fprintf(&b, "%q %v %s\n", f.Name, f.Mode, f.SHA256)
	}
	return HashBytes([]byte(b.String()))
}

// Input makes the product an input of a later step, by its content: a step
// that ran and made the same as before causes no more work.
func (p Product) Input() Input { return Input{"product of step " + p.Step, p.Hash()} }

// record is step.json.
type record struct {
	Step   string        `json:"step"`
	Key    string        `json:"key"`
	Took   float64       `json:"took"` // seconds, of the build
	CPU    float64       `json:"cpu"`  // processor seconds of the build, user and system, with its programs
	Inputs []Input       `json:"inputs"`
	Files  []ProductFile `json:"files"`
}

const (
	recordName = "step.json"
	logName    = "log"
	outName    = "out"
)

// load returns the product of a key, if the store has it whole: every file
// that step.json names, with its size and mode. What is in them is believed;
// `tench verify --rebuild` believes nothing.
func (s *Store) load(step, key string) (Product, error) {
	dir := s.productDir(step, key)
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return Product{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return Product{}, fmt.Errorf("read %s: %w", recordName, err)
	}
	if r.Step != step || r.Key != key || len(r.Files) == 0 {
		return Product{}, fmt.Errorf("%s is of another product", recordName)
	}
	p := Product{Step: step, Key: key, Dir: filepath.Join(dir, outName), Files: r.Files,
		Log: filepath.Join(dir, logName), Inputs: r.Inputs, CPU: time.Duration(r.CPU * float64(time.Second))}
	for _, f := range r.Files {
		info, err := os.Lstat(p.Path(f.Name))
		if err != nil {
			return Product{}, err
		}
		if info.Size() != f.Size || info.Mode() != f.Mode {
			return Product{}, fmt.Errorf("%s has %d bytes and mode %v, not %d and %v", f.Name, info.Size(), info.Mode(), f.Size, f.Mode)
		}
		p.Size += f.Size
	}
	return p, nil
}

// listFiles hashes the files below dir.
func listFiles(dir string) ([]ProductFile, error) {
	var files []ProductFile
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		sum, err := hashEntry(path, info)
		files = append(files, ProductFile{filepath.ToSlash(name), sum, info.Size(), info.Mode()})
		return err
	})
	return files, err
}
