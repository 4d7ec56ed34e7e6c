package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tench/release"
)

// Options are how files are fetched and unpacked. The zero value fetches from
// the network, follows a pin that is gone, and says nothing.
type Options struct {
	Offline  bool     // use the store and the mirrors only
	Strict   bool     // the pinned version or nothing, as releases demand
	Mirrors  []string // folders that hold files by their name
	Archive  Archive  // zero: Debian's
	Follow   string   // take this version of the Debian package, whatever is pinned; "" for the pin
	Progress func(done, total int64, unit string)
	Log      io.Writer
}

func (o Options) logf(format string, args ...any) {
	if o.Log != nil {
		fmt.Fprintf(o.Log, format+"\n", args...)
	}
}

// bytes reports progress in bytes.
func (o Options) bytes(done, total int64) {
	if o.Progress != nil {
		o.Progress(min(done, total), total, "B")
	}
}

// Fetched is a verified file in the store, or a folder under development.
type Fetched struct {
	Path        string // in the store; its name is its hash
	Name        string // e.g. "grub-common_2.06-13+deb12u2_amd64.deb"
	SHA256      string // lower-case hex
	Version     string // upstream's, e.g. "6.12.117"
	Debian      string // Debian's version of a file that was followed, e.g. "6.12.119-1~deb12u1"
	From        string // where it was had from: a URL, a Debian package, a mirror's file
	Size        int64  // bytes
	SignedBy    string // key whose signature was checked, e.g. "OpenPGP 8364…450F"; "" for none
	Followed    bool   // not the pinned version: the archive's current one of the series
	Development bool   // no file: Path is a folder under development, SHA256 is over all that is in it
	Unpack      release.Unpack
}

// attempt is one place that did not have the file, and why.
type attempt struct {
	file  string
	place string
	err   error
}

// Fetch returns one packaging of the recipe's part. It looks in the store, in
// the mirrors and files of this machine that the recipe names, for a version
// followed earlier, and then at the locations of each packaging in order. When
// none has the pinned file it follows the archive's current version of the
// series, unless o.Strict. A file whose signature is not by the recipe's key is
// an error.
func (s *Store) Fetch(ctx context.Context, r release.Recipe, part string, o Options) (Fetched, error) {
	files := r.Part(part)
	if len(files) == 0 {
		return Fetched{}, fmt.Errorf("recipe %s: there is no part %q", r.Name, part)
	}
	unlock, err := s.lock(ctx, filepath.Join("partial", r.Name+"-"+part), o)
	if err != nil {
		return Fetched{}, err
	}
	defer unlock()
	f, err := s.fetch(ctx, r, files, o)
	if err != nil {
		return Fetched{}, fmt.Errorf("fetch %s %s: %w", r.Name, part, err)
	}
	return f, nil
}

func (s *Store) fetch(ctx context.Context, r release.Recipe, files []release.File, o Options) (Fetched, error) {
	if files[0].Dir != "" {
		return develop(ctx, r, files[0], o)
	}
	got, err := s.pinnedFile(ctx, r, files, o)
	if err == nil {
		got.SignedBy, err = s.vouch(ctx, r, files, got, o)
	}
	if err != nil {
		return Fetched{}, err
	}
	return got, nil
}

// pinnedFile returns any one of the files, or what follows them.
func (s *Store) pinnedFile(ctx context.Context, r release.Recipe, files []release.File, o Options) (Fetched, error) {
	if o.Follow != "" {
		return s.instead(ctx, r, files, o)
	}
	if got, ok, err := s.local(ctx, r, files, o); ok || err != nil {
		return got, err
	}
	if o.Offline {
		return Fetched{}, OfflineError([]Missing{{Recipe: r.Name, Part: files[0].Part, Files: files}})
	}
	var tried []attempt
	for _, f := range files {
		for _, l := range f.Locations {
			err := s.fromLocation(ctx, r, f, l, o)
			if err == nil {
				o.logf("%s: fetched from %s", f.Name, l)
				return s.pinned(r, f, l.String()), nil
			}
			if ctx.Err() != nil || isFull(err) {
				return Fetched{}, s.diskFull(err, f.Size)
			}
			o.logf("%s: not from %s: %v", f.Name, l, err)
			tried = append(tried, attempt{f.Name, l.String(), err})
		}
	}
	if o.Strict {
		return Fetched{}, strictError(r, files, tried)
	}
	return s.follow(ctx, r, files, tried, o)
}

// instead returns what the version o.Follow of the Debian package has for the files.
func (s *Store) instead(ctx context.Context, r release.Recipe, files []release.File, o Options) (Fetched, error) {
	if got, ok, err := s.followedEarlier(ctx, r, files, o); ok || err != nil {
		return got, err
	}
	if o.Offline {
		return Fetched{}, fmt.Errorf("offline: the archive's %s is not in the store\nhint: build once without --offline", o.Follow)
	}
	return s.follow(ctx, r, files, nil, o)
}

// local returns what the machine itself has.
func (s *Store) local(ctx context.Context, r release.Recipe, files []release.File, o Options) (Fetched, bool, error) {
	for _, f := range files {
		from, ok, err := s.verified(ctx, pinOf(f), o)
		if ok || err != nil {
			return s.pinned(r, f, from), ok, err
		}
	}
	for _, f := range files {
		for _, path := range places(r, f, o) {
			err := s.fromMirror(ctx, f, path, o)
			switch {
			case err == nil:
				return s.pinned(r, f, path), true, nil
			case ctx.Err() != nil || isFull(err):
				return Fetched{}, false, s.diskFull(err, f.Size)
			case !errors.Is(err, fs.ErrNotExist):
				o.logf("%s: not from %s: %v", f.Name, path, err)
			}
		}
	}
	if o.Strict {
		return Fetched{}, false, nil
	}
	return s.followedEarlier(ctx, r, files, o)
}

// places are where a file may be on this machine: in the mirrors, and where the
// recipe says.
func places(r release.Recipe, f release.File, o Options) []string {
	var paths []string
	for _, m := range o.Mirrors {
		paths = append(paths, filepath.Join(m, f.Name))
	}
	for _, l := range f.Locations {
		if l.Path != "" {
			paths = append(paths, r.At(l.Path))
		}
	}
	return paths
}

func (s *Store) pinned(r release.Recipe, f release.File, from string) Fetched {
	return Fetched{Path: s.path(pinOf(f)), Name: f.Name, SHA256: f.SHA256, Version: r.Version,
		From: from, Size: f.Size, Unpack: f.Unpack}
}

// fromMirror copies a mirror's file into the store. It is copied, not linked:
// what is in the store must not change when the mirror does.
func (s *Store) fromMirror(ctx context.Context, f release.File, path string, o Options) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	p := pinOf(f)
	out, err := os.Create(s.partial(p) + ".mirror")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	// One byte more than it should have is enough to see that it is wrong.
	limited := io.LimitReader(ctxReader{ctx, in}, p.Size+1)
	if _, err := io.Copy(out, &countReader{r: limited, tell: func(n int64) { o.bytes(n, p.Size) }}); err != nil {
		return err
	}
	return s.adopt(ctx, out.Name(), p, path)
}

func (s *Store) fromLocation(ctx context.Context, r release.Recipe, f release.File, l release.Location, o Options) error {
	switch {
	case l.Git != nil:
		return s.fromGit(ctx, r, *l.Git, pinOf(f), o)
	case l.Debian != nil:
		return s.fromArchive(ctx, *l.Debian, pinOf(f), o)
	case l.DebianSource != nil:
		return s.fromSources(ctx, *l.DebianSource, pinOf(f), o)
	case l.Path != "":
		return s.fromMirror(ctx, f, r.At(l.Path), o)
	}
	return s.fromURL(ctx, l.URL, pinOf(f), l.URL, o)
}

// listed says what was tried, one place a line.
func listed(tried []attempt) string {
	var b strings.Builder
	for _, a := range tried {
		cause := strings.ReplaceAll(a.err.Error(), "\n", "\n      ")
		fmt.Fprintf(&b, "\n  %s\n    from %s:\n      %s", a.file, a.place, cause)
	}
	return b.String()
}

func strictError(r release.Recipe, files []release.File, tried []attempt) error {
	follow := ""
	if f, l := followable(files); l != nil && (l.Debian != nil || sourceKind(f.Name) != "") {
		follow = ", or build without --strict to follow series " + r.Series
	}
	return fmt.Errorf("no location has the pinned version %s:%s\n"+
		"hint: put the file into a folder named in TENCH_MIRROR, or pin a version that is still there in %s (its first lines say how)%s",
		r.Version, listed(tried), filepath.Join(r.Dir, release.RecipeFile), follow)
}
