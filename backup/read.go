package backup

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Read reads an archive, to the end of r. It need not be trusted: what Write
// would not write is refused, whatever it is, and nothing larger than the bounds
// is kept.
func Read(r io.Reader) (Archive, error) {
	a, err := read(&limited{r: r, left: MaxTotal})
	if err != nil {
		return Archive{}, fmt.Errorf("backup: read archive: %w", err)
	}
	return a, nil
}

// limited is a reader that fails, rather than ends, where an archive is too long.
type limited struct {
	r    io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	// One byte more than is left tells an archive that ends there from one that
	// goes on.
	if len(p) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= n; l.left < 0 {
		return 0, fmt.Errorf("it is longer than %d bytes", MaxTotal)
	}
	return n, err
}

func read(r io.Reader) (Archive, error) {
	var a Archive
	seen := map[string]bool{}
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Archive{}, err
		}
		if err := checkHeader(h); err != nil {
			return Archive{}, err
		}
		if seen[h.Name] {
			return Archive{}, fmt.Errorf("%q is there twice", h.Name)
		}
		if seen[h.Name] = true; len(seen) > MaxFiles {
			return Archive{}, fmt.Errorf("it has more than %d files", MaxFiles)
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return Archive{}, fmt.Errorf("%q: %w", h.Name, err)
		}
		if err := a.take(h.Name, data); err != nil {
			return Archive{}, err
		}
	}
	if err := checkRest(r); err != nil {
		return Archive{}, err
	}
	if !seen[aboutName] {
		return Archive{}, fmt.Errorf("it has no %s: this is no backup of a box", aboutName)
	}
	// A tar archive that is cut between two files is a whole one to every tar.
	if n := len(seen) - 1; n != a.About.Files {
		return Archive{}, fmt.Errorf("it has %d files instead of %d: it is not whole", n, a.About.Files)
	}
	return a, a.check()
}

// checkHeader lets plain files pass, and nothing else that tar has: links and
// devices have no place here, and the extensions that carry long names, sparse
// files and attributes are not needed.
func checkHeader(h *tar.Header) error {
	switch {
	case h.Typeflag != tar.TypeReg || h.Format != tar.FormatUSTAR || h.Linkname != "" || len(h.PAXRecords) > 0:
		return fmt.Errorf("%q is not a plain file in the ustar format", h.Name)
	case h.Size > MaxFile:
		return fmt.Errorf("%q has %d bytes; at most %d", h.Name, h.Size, MaxFile)
	}
	return nil
}

// checkRest reads what comes behind the archive's end: other programs fill the
// last block with zeros. It must be read in any case, because an encrypted file
// is proven to be whole only at its end.
func checkRest(r io.Reader) error {
	rest, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if len(bytes.Trim(rest, "\x00")) > 0 {
		return errors.New("something comes behind its end")
	}
	return nil
}

// take puts a file of the stream into its place.
func (a *Archive) take(name string, data []byte) error {
	dir, below, _ := strings.Cut(name, "/")
	switch {
	case name == aboutName:
		return a.takeAbout(data)
	case name == configDir+"/"+currentName:
		n, err := generationNumber(strings.TrimSuffix(string(data), "\n"))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		a.Current = n
		return nil
	case dir == configDir:
		return a.takeGeneration(name, below, data)
	case dir == identityDir:
		if err := checkIdentity(below); err != nil {
			return err
		}
		a.Identity = append(a.Identity, File{below, data})
		return nil
	}
	return fmt.Errorf("%q has no place in a backup", name)
}

// takeGeneration takes "7/router.toml" or "7/about.json".
func (a *Archive) takeGeneration(name, below string, data []byte) error {
	number, file, _ := strings.Cut(below, "/")
	n, err := generationNumber(number)
	if err != nil || file != routerName && file != notesName {
		return fmt.Errorf("%q has no place in a backup", name)
	}
	i := slices.IndexFunc(a.Generations, func(g Generation) bool { return g.Number == n })
	if i < 0 {
		i = len(a.Generations)
		a.Generations = append(a.Generations, Generation{Number: n})
	}
	if file == routerName {
		a.Generations[i].Data = data
	} else {
		a.Generations[i].Notes = data
	}
	return nil
}

func (a *Archive) takeAbout(data []byte) error {
	if err := json.Unmarshal(data, &a.About); err != nil {
		return fmt.Errorf("%s: %w", aboutName, err)
	}
	for i := range a.About.Ports {
		p := &a.About.Ports[i]
		for _, text := range []*string{&p.Label, &p.Name, &p.Path, &p.MAC, &p.Driver} {
			*text = plain(*text)
		}
	}
	a.About.Board, a.About.Release = plain(a.About.Board), plain(a.About.Release)
	switch f := a.About.Format; {
	case f < 1:
		return fmt.Errorf("%s: format %d: they begin at 1", aboutName, f)
	case f > Format:
		return fmt.Errorf("%s: format %d is newer than this tench, which reads up to %d\nhint: take the tench of that release", aboutName, f, Format)
	}
	return nil
}

// generationNumber reads a number as Write writes it: "7", not "07" or "+7".
func generationNumber(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || strconv.Itoa(n) != text {
		return 0, fmt.Errorf("%q is not the number of a generation", text)
	}
	return n, nil
}
