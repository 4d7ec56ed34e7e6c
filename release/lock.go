package release

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/pelletier/go-toml/v2"

	"tench/internal/tomlfile"
)

// LockSchema is the version of the lock's format.
const LockSchema = 1

// Lock is release.lock: what everything was that a release is built from when
// somebody last said that it is right. Our own code is not in it, because the
// commit names it.
//
// Hashes are SHA-256 in lower-case hex. The keys of the tables are names that
// stay when what they name changes, so that git shows one line a change.
type Lock struct {
	Schema  int       `toml:"schema"`
	Release string    `toml:"release"`
	Epoch   time.Time `toml:"epoch"`
	Arches  []string  `toml:"architectures"` // whose tools are in it, e.g. "amd64"
	Commit  string    `toml:"commit"`        // of this tree when it was written, for information; "" if unknown
	Clean   bool      `toml:"clean"`         // the tree was that of the commit

	Recipe   map[string]string `toml:"recipe"`   // NAME: hash of recipe.toml
	Source   map[string]string `toml:"source"`   // RECIPE/PART/FILE: hash and size in bytes
	Patch    map[string]string `toml:"patch"`    // RECIPE/FILE: hash
	Fragment map[string]string `toml:"fragment"` // RECIPE/FILE: hash
	Overlay  map[string]string `toml:"overlay"`  // NAME or NAME.flist: hash of the tree or file
	Board    map[string]string `toml:"board"`    // NAME: hash of the folder
	Module   map[string]string `toml:"module"`   // go.mod and go.sum files: hash
	Tool     map[string]string `toml:"tool"`     // program: what it says its version is
}

// LockPath is where the release's lock is.
func (r Release) LockPath() string { return filepath.Join(r.Dir, "release.lock") }

// lockTable is one table of a lock.
type lockTable struct {
	kind   string
	values *map[string]string
	value  *regexp.Regexp // what a value looks like
}

var (
	lockSourceRE = regexp.MustCompile(`^[0-9a-f]{64} [1-9][0-9]{0,17}$`)
	lockToolRE   = regexp.MustCompile(`^[[:print:]]+$`)
)

func (l *Lock) tables() []lockTable {
	return []lockTable{
		{"recipe", &l.Recipe, sha256RE}, {"source", &l.Source, lockSourceRE}, {"patch", &l.Patch, sha256RE},
		{"fragment", &l.Fragment, sha256RE}, {"overlay", &l.Overlay, sha256RE}, {"board", &l.Board, sha256RE},
		{"module", &l.Module, sha256RE}, {"tool", &l.Tool, lockToolRE},
	}
}

// ReadLock reads the lock at path. The error of a bad one is a
// tomlfile.Problems; one that is not there is fs.ErrNotExist.
func ReadLock(path string) (Lock, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Lock{}, fmt.Errorf("lock: %w", err)
	}
	return ParseLock(path, data)
}

// ParseLock decodes a lock; file is its name in errors.
func ParseLock(file string, data []byte) (Lock, error) {
	var l Lock
	f, err := tomlfile.Decode(file, data, &l)
	if err != nil {
		return Lock{}, err
	}
	c := checker{f: f}
	c.require(l.Schema == LockSchema, fmt.Sprintf("schema: %d; this tench reads schema %d", l.Schema, LockSchema), "schema")
	c.require(nameRE.MatchString(l.Release), fmt.Sprintf("release: %q is no name for a release", l.Release), "release")
	c.require(l.Epoch.Year() >= 2020, "epoch: a time since 2020 is needed", "epoch")
	c.require(len(l.Arches) > 0, "architectures: a lock holds for at least one", "architectures")
	for _, t := range l.tables() {
		for name, value := range *t.values {
			c.require(t.value.MatchString(value), fmt.Sprintf("%s.%q: %q is not as tench lock writes it", t.kind, name, value), t.kind, name)
		}
	}
	l.Epoch = l.Epoch.UTC()
	return l, c.problems.OrNil()
}

// Write puts the lock at path, whole or not at all.
func (l Lock) Write(path string) error {
	data, err := l.encode()
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if err := renameio.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("lock: write %s: %w", path, err)
	}
	return nil
}

// encode is the lock as text; the keys of each table are sorted.
func (l Lock) encode() ([]byte, error) {
	l.Schema, l.Epoch = LockSchema, l.Epoch.UTC()
	data, err := toml.Marshal(l)
	head := "# What release " + l.Release + " is built from. tench lock writes it; --strict holds a build to it.\n"
	return append([]byte(head), data...), err
}

// Only returns the lock with those entries that keep wants, by their table and
// name.
func (l Lock) Only(keep func(kind, name string) bool) Lock {
	for _, t := range l.tables() {
		kept := maps.Clone(*t.values)
		maps.DeleteFunc(kept, func(name, _ string) bool { return !keep(t.kind, name) })
		*t.values = kept
	}
	return l
}

// LockChange is an entry that is another one than the locked one.
type LockChange struct {
	Kind   string // the table, e.g. "patch"; "release" or "epoch"
	Name   string // the key in it
	Locked string // "" for one that is not in the lock
	Found  string // "" for one that is only in the lock
}

func (c LockChange) String() string {
	show := func(value string) string {
		hash, rest, _ := strings.Cut(value, " ")
		switch {
		case value == "":
			return "nothing"
		case sha256RE.MatchString(hash) && rest != "":
			return hash[:12] + " (" + rest + " bytes)"
		case sha256RE.MatchString(hash):
			return hash[:12]
		}
		return value
	}
	return fmt.Sprintf("%s: locked %s, found %s", strings.TrimSpace(c.Kind+" "+c.Name), show(c.Locked), show(c.Found))
}

// Changes lists what found has otherwise than the lock. What is there for
// information only makes no difference.
func (l Lock) Changes(found Lock) []LockChange {
	var list []LockChange
	add := func(kind, name, locked, found string) {
		if locked != found {
			list = append(list, LockChange{kind, name, locked, found})
		}
	}
	add("release", "", l.Release, found.Release)
	add("epoch", "", l.epoch(), found.epoch())
	add("architectures", "", strings.Join(l.Arches, " "), strings.Join(found.Arches, " "))
	for i, t := range l.tables() {
		locked, now := *t.values, *found.tables()[i].values
		names := maps.Clone(now)
		if names == nil {
			names = map[string]string{}
		}
		maps.Copy(names, locked)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			add(t.kind, name, locked[name], now[name])
		}
	}
	return list
}

// epoch is the lock's epoch as text; none for the lock that there was not.
func (l Lock) epoch() string {
	if l.Epoch.IsZero() {
		return ""
	}
	return l.Epoch.UTC().Format(time.RFC3339)
}

// Locked reads the release's lock. That there is none is an error that says how
// to make one, and fs.ErrNotExist.
func (r Release) Locked() (Lock, error) {
	l, err := ReadLock(r.LockPath())
	if errors.Is(err, fs.ErrNotExist) {
		return Lock{}, notLocked{r}
	}
	return l, err
}

// notLocked is a release without a lock.
type notLocked struct{ r Release }

func (e notLocked) Error() string {
	return fmt.Sprintf("lock: release %s has no %s\nhint: tench lock --all-boards%s writes it", e.r.Name, e.r.LockPath(), e.r.Option())
}

func (e notLocked) Unwrap() error { return fs.ErrNotExist }
