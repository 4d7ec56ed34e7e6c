// Package audit looks at a directory of products, a release or what a build left
// in out/BOARD, and lists all that is not as it should be.
//
//	audit.go     Directory: signature, SHA256, the files there are
//	manifest.go  manifest.json, each board's manifest and SBOM
//
// Nothing in the directory is believed: names are those of SHA256, links are
// not followed, and the signature counts only with a key from elsewhere.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"tench/release"
	"tench/release/signify"
)

// Report is what was found.
type Report struct {
	Findings []string // what is wrong, one line each
	Notes    []string // what a person should know beside, e.g. who signed
	Files    int      // with the hash that SHA256 has of them
}

// Options say how to look.
type Options struct {
	Key *signify.PublicKey // who must have signed; nil for nobody
	// Progress is told how far the hashing is, in bytes; it may be nil.
	Progress func(file string, done, total int64)
}

// Directory audits dir. The error is about the reading of dir itself, not about
// what is in it.
func Directory(ctx context.Context, dir string, o Options) (Report, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return Report{}, fmt.Errorf("verify: %w", err)
	}
	if o.Progress == nil {
		o.Progress = func(string, int64, int64) {}
	}
	a := &auditor{ctx: ctx, dir: dir, o: o, sums: map[string]string{}, sizes: map[string]int64{}}
	a.checksums()
	a.files()
	a.extra(entries)
	a.manifest()
	return a.Report, ctx.Err()
}

type auditor struct {
	Report
	ctx   context.Context
	dir   string
	o     Options
	sums  map[string]string // by file, as SHA256 has them
	sizes map[string]int64  // of the files whose hash is right
}

// found adds a finding about a file.
func (a *auditor) found(file, format string, args ...any) {
	a.Findings = append(a.Findings, file+": "+fmt.Sprintf(format, args...))
}

func (a *auditor) path(file string) string { return filepath.Join(a.dir, file) }

// checksums reads SHA256 and verifies its signature.
func (a *auditor) checksums() {
	data, err := readSmall(a.path(release.SumsFile))
	if err != nil {
		a.found(release.SumsFile, "%v", withoutPath(err))
		return
	}
	a.signature(data)
	list, err := release.ParseSums(release.SumsFile, data)
	if err != nil {
		a.Findings = append(a.Findings, err.Error())
		return
	}
	for _, p := range list {
		a.sums[p.File] = p.SHA256
	}
}

// signature looks at who signed the sums.
func (a *auditor) signature(sums []byte) {
	const file = release.SignatureFile
	sig, err := readSmall(a.path(file))
	switch {
	case errors.Is(err, fs.ErrNotExist) && a.o.Key == nil:
		a.Notes = append(a.Notes, "not signed: the hashes show that nothing was damaged, not who made it")
		return
	case err != nil:
		a.found(file, "%v", withoutPath(err))
		return
	}
	if a.o.Key != nil {
		if err := a.o.Key.Verify(sums, sig); err != nil {
			a.found(file, "%v", err)
			return
		}
		a.Notes = append(a.Notes, fmt.Sprintf("signed by key %s (%s)", a.o.Key.Number, a.o.Key.Comment))
		return
	}
	s, err := signify.ParseSignature(sig)
	if err != nil {
		a.found(file, "%v", err)
		return
	}
	a.Notes = append(a.Notes, fmt.Sprintf("%s says that key %s signed, which proves nothing without that key: --key FILE.pub", file, s.Number))
}

// files hashes each file that SHA256 lists.
func (a *auditor) files() {
	for _, file := range sortedKeys(a.sums) {
		if a.ctx.Err() != nil {
			return
		}
		hash, size, err := a.hash(file)
		switch {
		case err != nil:
			a.found(file, "%v", withoutPath(err))
		case hash != a.sums[file]:
			a.found(file, "its SHA-256 is %s, %s has %s", hash, release.SumsFile, a.sums[file])
		default:
			a.sizes[file] = size
			a.Files++
		}
	}
}

func (a *auditor) hash(file string) (string, int64, error) {
	f, size, err := openRegular(a.path(file))
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, a.counted(f, file, size))
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// counted reads from r, tells how far it is, and ends with the context.
func (a *auditor) counted(r io.Reader, file string, total int64) io.Reader {
	done := int64(0)
	return readerFunc(func(b []byte) (int, error) {
		if err := a.ctx.Err(); err != nil {
			return 0, err
		}
		n, err := r.Read(b)
		done += int64(n)
		a.o.Progress(file, done, total)
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// extra finds what lies in the directory and in no list. Beside the last build's
// products the next one's may be being made.
func (a *auditor) extra(entries []fs.DirEntry) {
	own := []string{release.SumsFile, release.SignatureFile, release.ManifestFile}
	_, isRelease := a.sums[release.ManifestFile] // a build's own manifest is in no list
	for _, e := range entries {
		if !isRelease && e.IsDir() && e.Name() == release.UnfinishedDir {
			continue
		}
		if _, listed := a.sums[e.Name()]; !listed && !slices.Contains(own, e.Name()) {
			a.found(e.Name(), "is not listed in %s", release.SumsFile)
		}
	}
}

// openRegular opens a file, but not what a link, a pipe or a device leads to.
func openRegular(path string) (*os.File, int64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("is no plain file (%v)", info.Mode().Type())
	}
	f, err := os.Open(path)
	return f, info.Size(), err
}

// readSmall reads a list or a signature; these are never large.
func readSmall(path string) ([]byte, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const most = 64 << 20
	if size > most {
		return nil, fmt.Errorf("has %d bytes, more than %d", size, most)
	}
	return io.ReadAll(f)
}

// withoutPath is the cause of a file's error: the finding names the file.
func withoutPath(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
