package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"tench/release"
)

// indexed is a file of a source package, as the signed index lists it.
type indexed struct{ uri, name string }

// fromSources downloads one file of a Debian source package and adopts it. apt
// finds it in its verified index; see aptDownload for who downloads it.
func (s *Store) fromSources(ctx context.Context, pkg release.DebianSource, p pin, o Options) error {
	a, unlock, err := s.openOldApt(ctx, sourceArch, o)
	if err != nil {
		return err
	}
	defer unlock()
	download := filepath.Join(a.dir, "download")
	// apt does not list what lies there already, e.g. from a run that was killed.
	if err := errors.Join(os.RemoveAll(download), os.Mkdir(download, 0o755)); err != nil {
		return err
	}
	args := []string{"source", "--only-source", "--download-only", pkg.Package + "=" + pkg.Version}
	out, err := a.run(ctx, nil, "apt-get", append(args, "--print-uris")...)
	if err != nil {
		return err
	}
	files := printedURIs(string(out))
	file, err := fileNamed(files, p.Name)
	if err != nil {
		return err
	}
	origin := release.Location{DebianSource: &pkg}.String()
	if strings.HasPrefix(file.uri, "http:") || strings.HasPrefix(file.uri, "https:") {
		err := s.fromURL(ctx, file.uri, p, origin, o)
		if err == nil || ctx.Err() != nil || isFull(err) {
			return err
		}
		o.logf("%s: not from %s: %v: trying with apt", p.Name, file.uri, err)
	}
	// apt downloads all of the package's files.
	defer func() {
		for _, f := range files {
			_ = os.Remove(filepath.Join(download, f.name))
		}
	}()
	if err := s.aptGet(ctx, a, p, o, args...); err != nil {
		return err
	}
	return s.adopt(ctx, filepath.Join(download, p.Name), p, origin)
}

func fileNamed(files []indexed, name string) (indexed, error) {
	var names []string
	for _, f := range files {
		if f.name == name {
			return f, nil
		}
		names = append(names, f.name)
	}
	if len(names) == 0 {
		return indexed{}, errors.New("apt-get source: it lists no files")
	}
	return indexed{}, fmt.Errorf("the source package has no file %s; it has %s", name, strings.Join(names, ", "))
}

// uriRE is a line of apt-get --print-uris: 'URI' NAME SIZE HASH. A name with a
// folder in it is not one of a source package.
var uriRE = regexp.MustCompile(`^'([^']+)' ([A-Za-z0-9][A-Za-z0-9._+~%-]*) [0-9]+ `)

func printedURIs(out string) []indexed {
	var files []indexed
	for line := range strings.Lines(out) {
		if m := uriRE.FindStringSubmatch(line); m != nil {
			files = append(files, indexed{uri: m[1], name: m[2]})
		}
	}
	return files
}
