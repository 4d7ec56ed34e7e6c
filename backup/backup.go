// Package backup is the archive that a box is made again from: its identity and
// its generations of router.toml, with notes on what it was.
//
//	backup.go  Archive, its parts and their bounds
//	write.go   Write: the archive as a tar stream
//	read.go    Read: a tar stream that may come from anybody
//	unpack.go  Unpack: the archive as a directory
//
// The stream is a plain tar archive (POSIX.1-1988, "ustar") of regular files in
// this order, so that any tar reads it and two backups of one state are alike:
//
//	about.json              Format, board, release and ports: notes for people
//	config/N/router.toml    the generations, oldest first
//	config/N/about.json     what package update knows of one, where it does
//	config/current          the number of the one in force
//	identity/...            who the box is; host key and secrets among it
//
// What the box only remembers (leases, the clock) is left out on purpose: a
// lease belongs to a MAC address that the next box does not have. A trial is
// left out, too: the box that is made again starts with what was confirmed.
//
// The box writes it, the desk reads it. The package knows nothing of encryption,
// which is sealed's, so that no cipher comes into the box's program.
package backup

import (
	"cmp"
	"errors"
	"fmt"
	pathpkg "path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Format is the number of the layout above. Read takes no higher one.
const Format = 1

// Bounds of an archive. Read and Write hold to them alike.
const (
	MaxFile  = 256 << 10 // bytes of one file: the longest router.toml
	MaxFiles = 1024      // files in all
	MaxTotal = 16 << 20  // bytes of the tar stream
)

// Names of the parts.
const (
	aboutName   = "about.json"
	configDir   = "config"
	currentName = "current"
	routerName  = "router.toml"
	notesName   = "about.json"
	identityDir = "identity"
	stateDir    = "state"
)

// Archive is what a backup holds.
type Archive struct {
	About       About
	Generations []Generation // oldest first
	Current     int          // number of the generation in force; 0 for none
	Identity    []File       // paths below the identity's directory, sorted
}

// About says what the box was. Nothing is made from it: a restored box may be
// other hardware.
type About struct {
	Format  int    `json:"format"`
	Files   int    `json:"files"`             // that come behind about.json; Write counts them
	Board   string `json:"board,omitempty"`   // e.g. "qemu-amd64"
	Release string `json:"release,omitempty"` // e.g. "2026.11"
	Ports   []Port `json:"ports,omitempty"`   // network devices that are hardware
}

// Port is a network device that the box had.
type Port struct {
	Label  string `json:"label,omitempty"` // on the case, where board.toml has one
	Name   string `json:"name"`            // the kernel's, e.g. "eth0"
	Path   string `json:"path,omitempty"`  // on the bus, as udev's ID_PATH
	MAC    string `json:"mac,omitempty"`
	Driver string `json:"driver,omitempty"`
}

// Generation is one version of router.toml.
type Generation struct {
	Number int    // from 1
	Data   []byte // router.toml
	Notes  []byte // about.json beside it, as package update wrote it; nil for none
}

// File is a file of the identity or of the data partition.
type File struct {
	Path string // slash-separated, e.g. "secrets/wan"
	Data []byte
}

// Name is what the identity calls the box, "" without one.
func (a Archive) Name() string {
	for _, f := range a.Identity {
		if f.Path == "name" {
			return plain(strings.TrimSpace(string(f.Data)))
		}
	}
	return ""
}

// plain keeps what an archive says from steering a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), maxPath)])
}

// InForce is the generation that current names, if it is there.
func (a Archive) InForce() (Generation, bool) {
	for _, g := range a.Generations {
		if g.Number == a.Current {
			return g, true
		}
	}
	return Generation{}, false
}

// Files lists what the archive is on a data partition, with paths below its root.
func (a Archive) Files() []File {
	var files []File
	add := func(path string, data []byte) { files = append(files, File{path, data}) }
	for _, g := range a.Generations {
		dir := configDir + "/" + strconv.Itoa(g.Number) + "/"
		add(dir+routerName, g.Data)
		if g.Notes != nil {
			add(dir+notesName, g.Notes)
		}
	}
	if a.Current > 0 {
		add(configDir+"/"+currentName, fmt.Appendf(nil, "%d\n", a.Current))
	}
	for _, f := range a.Identity {
		add(identityDir+"/"+f.Path, f.Data)
	}
	return files
}

// Folders lists the folders of a data partition with the archive on it, each
// before those in it; state, where the box will remember things, is empty.
func (a Archive) Folders() []string {
	list := []string{configDir, identityDir, stateDir}
	for _, f := range a.Files() {
		for dir := pathpkg.Dir(f.Path); dir != "."; dir = pathpkg.Dir(dir) {
			if !slices.Contains(list, dir) {
				list = append(list, dir)
			}
		}
	}
	slices.Sort(list)
	return list
}

// identityRE is what a file of the identity may be called: up to three names
// that begin with a letter or digit, so that none is hidden, ".." or absolute.
var identityRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}(/[A-Za-z0-9][A-Za-z0-9._-]{0,62}){0,2}$`)

// maxPath is the longest path that the first field of a ustar header takes.
const maxPath = 100

// checkIdentity refuses a path that is not safe to write below a directory.
func checkIdentity(path string) error {
	if !identityRE.MatchString(path) || len(identityDir)+1+len(path) > maxPath {
		return fmt.Errorf("%q is no name of an identity's file: letters, digits and . _ -, at most three levels", path)
	}
	return nil
}

// check holds an archive to its bounds and puts it in order.
func (a *Archive) check() error {
	slices.SortFunc(a.Generations, func(x, y Generation) int { return cmp.Compare(x.Number, y.Number) })
	slices.SortFunc(a.Identity, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	if n := 1 + len(a.Files()); n > MaxFiles {
		return fmt.Errorf("it has %d files; at most %d", n, MaxFiles)
	}
	for i, g := range a.Generations {
		switch {
		case g.Number < 1 || i > 0 && g.Number == a.Generations[i-1].Number:
			return fmt.Errorf("generation %d: numbers begin at 1 and come once", g.Number)
		case len(g.Data) > MaxFile || len(g.Notes) > MaxFile:
			return fmt.Errorf("generation %d has a file of more than %d bytes", g.Number, MaxFile)
		case g.Data == nil:
			return fmt.Errorf("generation %d has no router.toml", g.Number)
		}
	}
	if err := a.checkFiles(); err != nil {
		return err
	}
	switch {
	case a.Current < 0:
		return fmt.Errorf("current generation %d: numbers begin at 1", a.Current)
	case len(a.Generations) == 0 && len(a.Identity) == 0:
		return errors.New("it has neither a generation of router.toml nor an identity")
	}
	return nil
}

// checkFiles checks the identity: no path twice, and none that is a file and a
// folder.
func (a *Archive) checkFiles() error {
	names := map[string]bool{}
	for _, f := range a.Identity {
		switch err := checkIdentity(f.Path); {
		case err != nil:
			return err
		case len(f.Data) > MaxFile:
			return fmt.Errorf("identity/%s has %d bytes; at most %d", f.Path, len(f.Data), MaxFile)
		case names[f.Path]:
			return fmt.Errorf("identity/%s is there twice", f.Path)
		}
		names[f.Path] = true
	}
	for path := range names {
		for dir := pathpkg.Dir(path); dir != "."; dir = pathpkg.Dir(dir) {
			if names[dir] {
				return fmt.Errorf("identity/%s is a file and a folder", dir)
			}
		}
	}
	return nil
}
