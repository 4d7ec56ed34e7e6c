package publish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tench/release"
)

// file is one file of a release.
type file struct {
	name string
	size int64  // bytes
	sum  string // SHA-256, hex
}

// Source is a release's directory on this machine, found to be whole.
type Source struct {
	Name  string // e.g. "2026.11": the name of its directory
	files []file // SHA256 and SHA256.sig among them
	dir   local
}

// Size is how much the release is, in bytes.
func (s *Source) Size() int64 {
	var n int64
	for _, f := range s.files {
		n += f.size
	}
	return n
}

// nameRE is a release's name: it becomes a folder at the destination, where
// names that begin with a dot are ours.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}$`)

// ReadSource reads the release in dir and holds each file against SHA256. Files
// that SHA256 does not name are told and left out. Signature is as in Options.
func ReadSource(ctx context.Context, dir string, o Options) (*Source, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	s := &Source{Name: filepath.Base(dir), dir: local{dir}}
	if !nameRE.MatchString(s.Name) {
		return nil, fmt.Errorf("publish: %s: %q cannot be a release's name\nhint: name the directory as the release, e.g. 2026.11: at most 100 letters, digits and ._+~-, a letter or digit first", dir, s.Name)
	}
	sums, err := readSums(s.dir, ".", o.Signature)
	if err != nil {
		return nil, fmt.Errorf("publish: %s: %w", dir, err)
	}
	have, err := s.dir.List(".")
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	for _, info := range have {
		_, listed := sums[info.Name()]
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			return nil, fmt.Errorf("publish: %s/%s is a symbolic link\nhint: a release is files: put the file itself there", dir, info.Name())
		case listed && !info.Mode().IsRegular():
			return nil, fmt.Errorf("publish: %s/%s is not a file", dir, info.Name())
		case listed:
			s.files = append(s.files, file{info.Name(), info.Size(), sums[info.Name()]})
			delete(sums, info.Name())
		default:
			o.Report.Warn(fmt.Sprintf("%s is not in %s: it is not published", info.Name(), release.SumsFile))
		}
	}
	for name := range sums {
		return nil, fmt.Errorf("publish: %s: %s is in %s but not there\nhint: is the release complete?", dir, name, release.SumsFile)
	}
	return s, s.verify(ctx, o.Report)
}

// verify holds each file against its hash.
func (s *Source) verify(ctx context.Context, report Reporter) error {
	report.Start("check", s.Name)
	count := counter(report, s.Size())
	for _, f := range s.files {
		sum, err := s.dir.Sum(ctx, span{f.name, 0, f.size}, count)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if sum != f.sum {
			return fmt.Errorf("publish: %s: has SHA-256 %s, %s says %s\nhint: the release was changed or cut: make it again", s.dir.path(f.name), sum, release.SumsFile, f.sum)
		}
	}
	report.Note("checked", fmt.Sprintf("%s, %d files", s.Name, len(s.files)))
	return nil
}

// counter is a function that adds up bytes and reports how many there are.
func counter(report Reporter, total int64) func(int64) {
	var done int64
	return func(n int64) {
		done += n
		report.Progress(done, total, "B")
	}
}

// readSums reads SHA256 in a folder of a tree, and checks its signature if that
// is asked for. It returns the hash of every file of the release by name: those
// that SHA256 names, itself, and SHA256.sig where there is one.
func readSums(tree store, folder string, signature func(sums, sig []byte) error) (map[string]string, error) {
	data, err := tree.Read(folder + "/" + release.SumsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s\nhint: tench release makes a directory to publish", release.SumsFile)
	}
	if err != nil {
		return nil, err
	}
	sig, err := tree.Read(folder + "/" + release.SignatureFile)
	signed := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if signature != nil {
		if !signed {
			return nil, fmt.Errorf("there is no %s, and a signature is asked for", release.SignatureFile)
		}
		if err := signature(data, sig); err != nil {
			return nil, fmt.Errorf("%s: %w", release.SignatureFile, err)
		}
	}
	list, err := release.ParseSums(release.SumsFile, data)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{release.SumsFile: sumBytes(data)}
	if signed {
		sums[release.SignatureFile] = sumBytes(sig)
	}
	for _, p := range list {
		if _, own := sums[p.File]; own || p.File == release.SignatureFile {
			return nil, fmt.Errorf("%s names %s, which cannot be in it", release.SumsFile, p.File)
		}
		sums[p.File] = p.SHA256
	}
	return sums, nil
}

func sumBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// byName finds a file of a list.
func byName(list []file, name string) (file, bool) {
	i := slices.IndexFunc(list, func(f file) bool { return f.name == name })
	if i < 0 {
		return file{}, false
	}
	return list[i], true
}

// names lists the names, for people.
func names(list []file) string {
	var all []string
	for _, f := range list {
		all = append(all, f.name)
	}
	return strings.Join(all, ", ")
}
