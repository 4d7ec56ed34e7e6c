package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tench/backup"
	"tench/supervisor/system"
	"tench/supervisor/update"
)

// readings is how often the data partition is read at most until two readings in
// a row are the same.
const readings = 10

// WriteBackup writes the archive that this box can be made again from, secrets
// and all, to w. On a box dataDir is DataDir and runDir is RunDir.
func WriteBackup(w io.Writer, dataDir, runDir string) error {
	note, err := os.ReadFile(filepath.Join(runDir, DataProblemName))
	if err == nil && isSpare(dataDir) {
		return fmt.Errorf("backup: there is nothing to read: %s", strings.TrimSpace(string(note)))
	}
	about, err := aboutBox()
	if err != nil {
		return err
	}
	archive, err := steadyArchive(about, func() (backup.Archive, error) { return readArchive(dataDir) })
	if err != nil {
		return err
	}
	if _, err := w.Write(archive); err != nil {
		return fmt.Errorf("backup: write: %w", err)
	}
	return nil
}

// steadyArchive reads until nothing has changed between two readings: whoever
// writes a generation or a secret meanwhile does so in several steps, and the
// archive must have all of them or none.
func steadyArchive(about backup.About, read func() (backup.Archive, error)) ([]byte, error) {
	var last []byte
	var cause error
	for range readings {
		a, err := read()
		if errors.Is(err, fs.ErrNotExist) {
			cause = err // a file went between the list and the reading
			last = nil
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("backup: %w", err)
		}
		a.About = about
		var stream bytes.Buffer
		if err := backup.Write(&stream, a); err != nil {
			return nil, err
		}
		if bytes.Equal(last, stream.Bytes()) {
			return last, nil
		}
		last, cause = stream.Bytes(), errors.New("the data partition changes all the time")
	}
	return nil, fmt.Errorf("backup: %w\nhint: try it again", cause)
}

// readArchive reads the data partition once.
func readArchive(dataDir string) (backup.Archive, error) {
	var a backup.Archive
	config := filepath.Join(dataDir, "config")
	numbers, err := update.Store{Dir: config}.List()
	if err != nil {
		return a, err
	}
	for _, n := range numbers {
		dir := filepath.Join(config, strconv.Itoa(n))
		g := backup.Generation{Number: n}
		if g.Data, err = readBounded(filepath.Join(dir, "router.toml")); err != nil {
			return a, err
		}
		if g.Notes, err = readBounded(filepath.Join(dir, "about.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return a, err
		}
		a.Generations = append(a.Generations, g)
	}
	text, err := readBounded(filepath.Join(config, "current"))
	if err == nil {
		a.Current, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("current generation: %w", err)
	}
	a.Identity, err = readIdentity(filepath.Join(dataDir, "identity"))
	return a, err
}

// readIdentity reads the files below the identity's directory. Names that begin
// with a dot are of files that somebody is writing. What is no file is refused
// rather than left out: a backup that lacks something must not look whole.
func readIdentity(root string) ([]backup.File, error) {
	var files []backup.File
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case path == root && errors.Is(err, fs.ErrNotExist):
			return nil // a box that nobody gave one
		case err != nil:
			return err
		case strings.HasPrefix(d.Name(), ".") && d.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(d.Name(), ".") || d.IsDir():
			return nil
		}
		data, err := readBounded(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, path)
		files = append(files, backup.File{Path: filepath.ToSlash(below), Data: data})
		return err
	})
	return files, err
}

// readBounded reads a regular file that fits into a backup.
func readBounded(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > backup.MaxFile {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", path, backup.MaxFile)
	}
	return os.ReadFile(path)
}

// aboutBox notes what this box is, for whoever has to replace it.
func aboutBox() (backup.About, error) {
	b := bundle{root: "/"}
	// Without these files the notes are short; what the box is made from is not
	// in them.
	board, info, _ := b.boardAndBuild()
	about := backup.About{Board: info.Board, Release: info.Release}
	sys, err := system.New()
	if err != nil {
		return about, fmt.Errorf("backup: %w", err)
	}
	defer sys.Close()
	if b.found, err = foundPorts(sys); err != nil {
		return about, fmt.Errorf("backup: %w", err)
	}
	for _, f := range b.found {
		p := backup.Port{Name: f.name, Path: f.path, MAC: f.mac, Driver: f.driver}
		for _, known := range board.Ports {
			if known.Name != "" && f.name == known.Name || known.Path != "" && f.path == known.Path {
				p.Label = known.Label
			}
		}
		about.Ports = append(about.Ports, p)
	}
	return about, nil
}
