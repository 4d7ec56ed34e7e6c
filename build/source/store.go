// Package source gets the files that recipes name, checks them, unpacks them
// and patches the trees.
//
//	store.go      Store, the content store of downloads below the cache folder
//	fetch.go      Fetch: the order of places a file is looked for in
//	offline.go    what a build without the network lacks
//	https.go      download over https and http: resume, limits, retries
//	ftp.go        download over ftp, by the same rules
//	git.go        a git tag's commit as a tar archive
//	apt.go        download a Debian package with a private apt-get
//	debsrc.go     download a file of a Debian source package with it
//	follow.go     the archive's current version when the pinned one is gone
//	newer.go      Newer: what locations have beyond the pin
//	listing.go    a folder's listing, and the versions in it
//	signature.go  who vouches for a file: OpenPGP and signify
//	develop.go    folders under development: their hash, their copy
//	unpack.go     Unpack: Debian packages and tar archives
//	extract.go    a tar stream becomes a tree that nothing can leave
//	patch.go      Patch: a series without fuzz, all of it or nothing
//	quilt.go      Quilt: the patches of a Debian source package that a recipe takes
//
// Nothing is used that was not hashed a moment ago and compared with the
// recipe's pin, or, for a followed version, with the index that apt verified by
// Debian's archive keys. A folder under development is pinned by nothing: its
// hash says what was built, and releases refuse it.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"tench/release"
)

// Store keeps downloads by their content:
//
//	dl/sha256/HH/HASH        a file; HH are the first two digits of its hash
//	dl/sha256/HH/HASH.json   its name and where it came from, for people
//	dl/followed/NAME-PART-PIN  which file stands in for a pin that is gone
//	dl/partial/              unfinished downloads, resumed by the next run
//	dl/apt/                  lists and caches of the private apt-get
//
// Several processes may use one store at the same time.
type Store struct {
	dir    string
	client *http.Client
	idle   time.Duration // a connection silent for so long has stalled
	pause  time.Duration // before the first retry; it doubles

	mu      sync.Mutex
	updated map[Archive]error // archives whose lists were fetched by this process
}

// Open opens the store below cacheDir and makes its folders.
func Open(cacheDir string) (*Store, error) {
	dir, err := filepath.Abs(cacheDir)
	if err != nil {
		return nil, fmt.Errorf("source: open store: %w", err)
	}
	s := &Store{
		dir:     filepath.Join(dir, "dl"),
		client:  &http.Client{CheckRedirect: keepHTTPS},
		idle:    30 * time.Second,
		pause:   time.Second,
		updated: map[Archive]error{},
	}
	for _, sub := range []string{"sha256", "followed", "partial", "apt"} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("source: open store: %w", err)
		}
	}
	return s, nil
}

// pin is what a file must be.
type pin struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func pinOf(f release.File) pin { return pin{f.Name, f.Size, f.SHA256} }

// origin is what is noted beside a stored file.
type origin struct {
	pin
	From string    `json:"from"`
	Time time.Time `json:"time"`
}

func (s *Store) path(p pin) string { return filepath.Join(s.dir, "sha256", p.SHA256[:2], p.SHA256) }

func (s *Store) partial(p pin) string { return filepath.Join(s.dir, "partial", p.SHA256) }

// verified returns where the file of p came from when it is in the store and
// undamaged. A damaged one is removed, so that it is fetched again.
func (s *Store) verified(ctx context.Context, p pin, o Options) (from string, ok bool, err error) {
	path := s.path(p)
	if _, err := os.Stat(path); err != nil {
		return "", false, nil
	}
	err = check(ctx, path, p)
	var wrong *mismatch
	if errors.As(err, &wrong) {
		o.logf("%s is damaged in the store (%v): fetching it again", p.Name, wrong)
		return "", false, os.Remove(path)
	}
	if err != nil {
		return "", false, fmt.Errorf("source: read store: %w", err)
	}
	var noted origin
	data, _ := os.ReadFile(path + ".json") // a note for people: a lost one harms nothing
	_ = json.Unmarshal(data, &noted)
	return noted.From, true, nil
}

// adopt moves the complete file at tmp into the store, if it is what p says.
// A file that is not is removed and the error is a mismatch.
func (s *Store) adopt(ctx context.Context, tmp string, p pin, from string) error {
	if err := check(ctx, tmp, p); err != nil {
		var wrong *mismatch
		if errors.As(err, &wrong) {
			_ = os.Remove(tmp)
		}
		return err
	}
	path := s.path(p)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	note, err := json.MarshalIndent(origin{p, from, time.Now().UTC()}, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path+".json", append(note, '\n'), 0o644); err != nil {
		return err
	}
	if err := syncPath(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

// syncPath flushes a file or folder to the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// mismatch is a file that is not what its pin says.
type mismatch struct{ text string }

func (m *mismatch) Error() string { return m.text }

// check hashes the file at path and compares it with p.
func check(ctx context.Context, path string, p pin) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, ctxReader{ctx, f})
	if err != nil {
		return err
	}
	if n != p.Size {
		return &mismatch{fmt.Sprintf("it has %d bytes, not %d", n, p.Size)}
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != p.SHA256 {
		return &mismatch{fmt.Sprintf("its SHA-256 is %s, not %s", sum, p.SHA256)}
	}
	return nil
}

// ctxReader ends a long read when ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// countReader tells what has been read of total.
type countReader struct {
	r    io.Reader
	n    int64
	tell func(n int64)
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}

// lock takes the lock called name, waiting for another process to give it back.
func (s *Store) lock(ctx context.Context, name string, o Options) (unlock func(), err error) {
	l := flock.New(filepath.Join(s.dir, name+".lock"))
	got, err := l.TryLock()
	if err == nil && !got {
		o.logf("waiting for another tench that is fetching %s", filepath.Base(name))
		_, err = l.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("source: lock %s: %w", l.Path(), err)
	}
	return func() { _ = l.Unlock() }, nil
}

// diskFull explains an error that a full disk caused; others it returns as
// they are.
func (s *Store) diskFull(err error, need int64) error {
	if !isFull(err) {
		return err
	}
	return fmt.Errorf("%w\nhint: free %d MiB for %s, or set TENCH_CACHE to a folder on a larger disk; what is there already is kept and resumed", err, need>>20+1, s.dir)
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
