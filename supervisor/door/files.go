package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/pkg/sftp"
)

// Bounds on what sftp puts into RAM.
const (
	maxIncoming      = 48 << 20 // bytes in all: a slot and more
	maxIncomingFiles = 32
	reportTime       = time.Minute
)

// incoming guards the folder that every session may write to.
var incoming sync.Mutex

// files is what sftp sees: not the box's file system, but
//
//	/log, /log.1            the log
//	/report.txt             what `tenchd report` says now
//	/config/N/router.toml   the generations
//	/incoming/NAME          the only place to write, in RAM
type files struct{ o Options }

func newFiles(o Options) files { return files{o} }

// place is what a path of the view stands for.
type place struct {
	kind kind
	dir  string // of the file system: what is below it, and nothing else, can be reached
	name string // in dir; "" for the folder itself
}

type kind int

const (
	top         kind = iota // the root of the view
	plainFile               // read-only
	reportFile              // made when it is read
	plainFolder             // read-only
	inFolder                // /incoming
	inFile                  // a file in it
)

var (
	numberRE   = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
	incomingRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}$`)
)

// find looks a path of the view up, whether or not there is something.
func (f files) find(name string) (place, error) {
	words := strings.Split(strings.Trim(path.Clean("/"+name), "/"), "/")
	config := filepath.Join(f.o.DataDir, "config")
	switch {
	case words[0] == "":
		return place{kind: top}, nil
	case words[0] == "log" || words[0] == "log.1":
		return place{plainFile, f.o.RunDir, words[0]}.leaf(words, 1)
	case words[0] == "report.txt":
		return place{reportFile, f.o.RunDir, words[0]}.leaf(words, 1)
	case words[0] == "config" && len(words) == 1:
		return place{plainFolder, config, "."}, nil
	case words[0] == "config" && numberRE.MatchString(words[1]) && len(words) == 2:
		return place{plainFolder, config, words[1]}, nil
	case words[0] == "config" && numberRE.MatchString(words[1]) && words[2] == "router.toml":
		return place{plainFile, config, words[1] + "/router.toml"}.leaf(words, 3)
	case words[0] == "incoming" && len(words) == 1:
		return place{inFolder, f.o.Incoming, "."}, nil
	case words[0] == "incoming" && incomingRE.MatchString(words[1]):
		return place{inFile, f.o.Incoming, words[1]}.leaf(words, 2)
	}
	return place{}, fs.ErrNotExist
}

// leaf is p, if the path ends there.
func (p place) leaf(words []string, length int) (place, error) {
	if len(words) != length {
		return place{}, fs.ErrNotExist
	}
	return p, nil
}

// open opens what the place stands for; links do not lead out of its dir.
func (p place) open(flags int) (*os.File, error) {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(p.name, flags, 0o600)
}

// Fileread implements sftp.FileReader.
func (f files) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	p, err := f.find(r.Filepath)
	switch {
	case err != nil:
		return nil, err
	case p.kind == reportFile:
		if err := f.writeReport(r.Context()); err != nil {
			return nil, err
		}
	case p.kind != plainFile && p.kind != inFile:
		return nil, sftp.ErrSSHFxPermissionDenied
	}
	return p.open(os.O_RDONLY)
}

func (f files) writeReport(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, f.o.Program, "--run", f.o.RunDir, "report")
	cmd.Args[0] = "tenchd"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("report: %w: %s", err, plain(string(out)))
	}
	return nil
}

// Filewrite implements sftp.FileWriter.
func (f files) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	p, err := f.find(r.Filepath)
	if err != nil || p.kind != inFile {
		return nil, fmt.Errorf("%w: files go to /incoming, with names of letters, digits and . _ + ~ -", sftp.ErrSSHFxPermissionDenied)
	}
	incoming.Lock()
	defer incoming.Unlock()
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	want := r.Pflags()
	flags := os.O_WRONLY
	if want.Creat {
		flags |= os.O_CREATE
	}
	if want.Trunc {
		flags |= os.O_TRUNC
	}
	if want.Excl {
		flags |= os.O_EXCL
	}
	if _, count, err := used(p.dir, p.name); err != nil || count >= maxIncomingFiles {
		return nil, errors.Join(err, fmt.Errorf("/incoming takes %d files", maxIncomingFiles))
	}
	file, err := p.open(flags)
	if err != nil {
		return nil, err
	}
	return bounded{file, p}, nil
}

// used is how much the files in dir take, but for the one called except.
func used(dir, except string) (size int64, count int, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		info, statErr := e.Info()
		if e.Name() == except || errors.Is(statErr, fs.ErrNotExist) {
			continue
		}
		if statErr != nil {
			return 0, 0, statErr
		}
		size, count = size+info.Size(), count+1
	}
	return size, count, err
}

// bounded is a file of /incoming.
type bounded struct {
	*os.File
	p place
}

func (b bounded) WriteAt(data []byte, offset int64) (int, error) {
	incoming.Lock()
	defer incoming.Unlock()
	if err := b.p.room(offset, int64(len(data))); err != nil {
		return 0, err
	}
	return b.File.WriteAt(data, offset)
}

// room reports whether the file may reach from offset so much further.
func (p place) room(offset, more int64) error {
	others, _, err := used(p.dir, p.name)
	if err != nil {
		return err
	}
	if offset < 0 || offset > maxIncoming || others+offset+more > maxIncoming {
		return fmt.Errorf("/incoming takes %d MiB in all; remove what is there", maxIncoming>>20)
	}
	return nil
}

// Filecmd implements sftp.FileCmder: removing, renaming and cutting, in
// /incoming. Modes and times are not kept.
func (f files) Filecmd(r *sftp.Request) error {
	p, err := f.find(r.Filepath)
	if err != nil {
		return err
	}
	if p.kind != inFile {
		return sftp.ErrSSHFxPermissionDenied
	}
	incoming.Lock()
	defer incoming.Unlock()
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	switch r.Method {
	case "Remove":
		return root.Remove(p.name)
	case "Rename", "PosixRename":
		to, err := f.find(r.Target)
		if err != nil || to.kind != inFile {
			return sftp.ErrSSHFxPermissionDenied
		}
		return root.Rename(p.name, to.name)
	case "Setstat":
		if !r.AttrFlags().Size {
			return nil
		}
		size := int64(r.Attributes().Size)
		if err := p.room(size, 0); err != nil {
			return err
		}
		file, err := root.OpenFile(p.name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(file.Truncate(size), file.Close())
	}
	return sftp.ErrSSHFxPermissionDenied
}

// Filelist implements sftp.FileLister.
func (f files) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	p, err := f.find(r.Filepath)
	if err != nil {
		return nil, err
	}
	switch r.Method {
	case "Stat":
		info, err := f.stat(p)
		if err != nil {
			return nil, err
		}
		return listing{info}, nil
	case "List":
		return f.list(p)
	}
	return nil, sftp.ErrSSHFxOpUnsupported
}

// stat describes a place. The folders of the view are always there, and so is
// the report.
func (f files) stat(p place) (fs.FileInfo, error) {
	if p.kind == top {
		return entry{name: "/", mode: fs.ModeDir | 0o500}, nil
	}
	info, err := func() (fs.FileInfo, error) {
		root, err := os.OpenRoot(p.dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		return root.Lstat(p.name)
	}()
	if !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	switch {
	case p.kind == inFolder:
		return entry{name: "incoming", mode: fs.ModeDir | 0o700}, nil
	case p.kind == plainFolder && p.name == ".":
		return entry{name: "config", mode: fs.ModeDir | 0o500}, nil
	case p.kind == reportFile:
		return entry{name: "report.txt", mode: 0o400}, nil
	}
	return nil, fs.ErrNotExist
}

// list lists a folder: of what is there, that which the view shows.
func (f files) list(p place) (sftp.ListerAt, error) {
	at := map[kind]string{inFolder: "/incoming"}[p.kind]
	var names []string
	switch p.kind {
	case top:
		names = []string{"config", "incoming", "log", "log.1", "report.txt"}
	case plainFolder, inFolder:
		entries, err := os.ReadDir(filepath.Join(p.dir, p.name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if p.kind == plainFolder {
			at = path.Join("/config", p.name)
		}
	default:
		return nil, fs.ErrInvalid
	}
	var list listing
	for _, name := range names {
		child, err := f.find(path.Join(at, name))
		if err != nil {
			continue
		}
		if info, err := f.stat(child); err == nil {
			list = append(list, named{info, name})
		}
	}
	return list, nil
}

// listing implements sftp.ListerAt.
type listing []fs.FileInfo

func (l listing) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(to, l[offset:])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

// named is a file under the name that the view gives it.
type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

// entry describes what need not be there.
type entry struct {
	name string
	mode fs.FileMode
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return 0 }
func (e entry) Mode() fs.FileMode  { return e.mode }
func (e entry) ModTime() time.Time { return time.Time{} }
func (e entry) IsDir() bool        { return e.mode.IsDir() }
func (e entry) Sys() any           { return nil }
