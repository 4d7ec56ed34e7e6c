// Package overlays holds file trees that are laid over the root file system.
//
//	common/         files of every board
//	DAEMON/         files of every board with the daemon, e.g. strongswan/
//	NAME/           files of the board NAME, where it has any; they win over the others
//	common.flist,
//	NAME.flist      what is in each, with modes and owners, and the empty
//	                folders, which git does not keep (see internal/flist)
//	overlays.go     Load
//	list.go         the lists
//
// Overlays are read from disk, not embedded: go:embed loses modes, links and
// names that start with a dot.
package overlays

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sort"

	"tench/boards"
)

// Entry is one file, folder or symbolic link of the root file system.
type Entry struct {
	Path string      // without a leading slash, e.g. "etc/hosts"
	Mode fs.FileMode // type and permissions; fs.ModeSticky is the only further bit
	Link string      // target of a symbolic link
	Data []byte      // content of a file
	From string      // where it was read from, for errors
}

// Common is the overlay of every board.
const Common = "common"

// Layers are the names of the overlays that a board may have, the later ones
// over the earlier ones.
func Layers(b boards.Board) []string {
	return slices.Concat([]string{Common}, b.Daemons, []string{b.Name})
}

// Load reads the overlays of the board below dir: common, then those of its
// daemons, then its own. Of two files with one path the later wins. The result is
// sorted by path and holds every parent folder.
//
// Permissions are 0755 for folders and executable files and 0644 for others,
// whatever the umask of the clone; the layer's list names what is different. A
// difference of another kind between tree and list is not mended: it is for the
// check of the finished root file system to show.
//
// Links are kept, never followed. Anything but files, folders and links is
// refused, and so is a file that looks like a private key: an image is no place
// for secrets.
func Load(dir string, b boards.Board) ([]Entry, error) {
	merged := map[string]Entry{}
	for _, layer := range Layers(b) {
		entries, err := loadLayer(dir, layer)
		if err != nil {
			return nil, fmt.Errorf("overlay %s: %w", layer, err)
		}
		for p, e := range entries {
			old, ok := merged[p]
			if ok && old.Mode.IsDir() != e.Mode.IsDir() {
				return nil, fmt.Errorf("overlay %s: %s replaces %s, but one is a folder and the other is not", layer, e.From, old.From)
			}
			if e.Mode == fs.ModeDir && ok {
				continue // it only leads to this layer's files
			}
			merged[p] = e
		}
	}
	for p, e := range merged {
		if e.Mode == fs.ModeDir {
			e.Mode |= 0o755
			merged[p] = e
		}
	}
	return sorted(merged), nil
}

func sorted(entries map[string]Entry) []Entry {
	var list []Entry
	for _, e := range entries {
		list = append(list, e)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
	return list
}

// loadLayer reads dir/layer and dir/layer.flist. Folders without a line in the
// list have no permissions yet: an earlier layer may have set them.
func loadLayer(dir, layer string) (map[string]Entry, error) {
	entries := map[string]Entry{}
	root := filepath.Join(dir, layer)
	info, err := os.Lstat(root)
	if errors.Is(err, fs.ErrNotExist) && layer != Common {
		// Of a layer of empty folders git keeps the list alone; most boards have neither.
		return entries, applyList(ListFile(dir, layer), entries)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", root)
	}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		e, err := read(name, d)
		e.Path = filepath.ToSlash(rel)
		entries[e.Path] = e
		return err
	})
	if err != nil {
		return nil, err
	}
	return entries, applyList(ListFile(dir, layer), entries)
}

// read makes the Entry of one file, but for its path.
func read(name string, d fs.DirEntry) (Entry, error) {
	info, err := d.Info()
	if err != nil {
		return Entry{}, err
	}
	e := Entry{From: name}
	switch info.Mode().Type() {
	case fs.ModeDir:
		e.Mode = fs.ModeDir
	case fs.ModeSymlink:
		e.Mode = fs.ModeSymlink | 0o777
		e.Link, err = os.Readlink(name)
	case 0:
		e.Mode = 0o644
		if info.Mode()&0o100 != 0 {
			e.Mode = 0o755
		}
		if e.Data, err = os.ReadFile(name); err == nil {
			err = checkSecret(name, e.Data)
		}
	default:
		err = fmt.Errorf("%s is a device, socket or pipe (%v)\nhint: an overlay holds files, folders and symbolic links", name, info.Mode().Type())
	}
	return e, err
}

// secretRE matches private keys: PEM of any kind, OpenSSH, PGP, OpenVPN, PuTTY, age
// and signify.
var secretRE = regexp.MustCompile(`-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----|-----BEGIN OpenVPN (Static key V1|tls-crypt-v2 (client|server) key)-----|` +
	`PuTTY-User-Key-File-[0-9]|AGE-SECRET-KEY-1|(?m:^RWRCS[A-Za-z0-9+/]{134}=)`)

func checkSecret(name string, data []byte) error {
	if m := secretRE.Find(data); m != nil {
		return fmt.Errorf("%s looks like a private key (%.30q)\nhint: everybody who has the image would have the key: keep it off the image", name, m)
	}
	return nil
}

// withParents adds the folders above p that are missing.
func withParents(entries map[string]Entry, p, from string) {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if _, ok := entries[dir]; !ok {
			entries[dir] = Entry{Path: dir, Mode: fs.ModeDir, From: from}
		}
	}
}
