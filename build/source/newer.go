package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"

	"tench/release"
)

// Candidate is what one location has beyond the recipe's pin.
type Candidate struct {
	Location release.Location
	Version  string // as the location spells it: Debian's with its revision; "" when nothing is newer
	Err      error  // the location could not be asked, or does not show what it has
}

// Newer asks each location of a part which newer version it has: the newest of
// the recipe's series, or of any series where that has none. Nothing in the
// store changes but the lists of the private apt-get. Files of this machine and
// folders under development have no versions and are left out.
func (s *Store) Newer(ctx context.Context, r release.Recipe, part string, o Options) []Candidate {
	var list []Candidate
	for _, f := range r.Part(part) {
		for _, l := range f.Locations {
			if l.Path != "" {
				continue
			}
			c := Candidate{Location: l}
			if o.Offline {
				c.Err = errors.New("offline: it cannot be asked")
			} else {
				c.Version, c.Err = s.newerAt(ctx, r, l, o)
			}
			list = append(list, c)
		}
	}
	return list
}

func (s *Store) newerAt(ctx context.Context, r release.Recipe, l release.Location, o Options) (string, error) {
	switch {
	case l.Git != nil:
		return s.newerTag(ctx, r, *l.Git)
	case l.Debian != nil:
		return s.newerPackage(ctx, r, *l.Debian, o)
	case l.DebianSource != nil:
		return s.newerSource(ctx, r, *l.DebianSource, o)
	}
	return s.newerURL(ctx, r, l.URL)
}

// newerPackage returns the newest version of a binary package in the signed index.
func (s *Store) newerPackage(ctx context.Context, r release.Recipe, pkg release.DebianPackage, o Options) (string, error) {
	a, unlock, err := s.openApt(ctx, pkg.Arch, o)
	if err != nil {
		return "", err
	}
	defer unlock()
	list, err := a.versions(ctx, pkg)
	if err != nil {
		return "", err
	}
	return newestOf(ctx, r, pkg.Version, list), nil
}

// newerSource returns the newest version of a source package in the signed index.
func (s *Store) newerSource(ctx context.Context, r release.Recipe, pkg release.DebianSource, o Options) (string, error) {
	a, unlock, err := s.openApt(ctx, sourceArch, o)
	if err != nil {
		return "", err
	}
	defer unlock()
	out, err := a.run(ctx, nil, "apt-cache", "showsrc", "--only-source", pkg.Package)
	if err != nil {
		return "", err
	}
	return newestOf(ctx, r, pkg.Version, stanzas(string(out))), nil
}

// newerTag asks the repository for its tags. git runs in the store, because it
// takes the settings of any folder that looks like a repository: in the one for
// temporary files they could be a stranger's.
func (s *Store) newerTag(ctx context.Context, r release.Recipe, g release.GitTag) (string, error) {
	sp, ok := spelled(g.Tag, r.Version)
	if !ok {
		return "", fmt.Errorf("the tag %s does not have the version %s in it", g.Tag, r.Version)
	}
	tags, err := git{dir: s.dir, from: repository(r, g)}.tags(ctx)
	if err != nil {
		return "", err
	}
	return sp.newest(r, tags), nil
}

// newestOf returns the newest of an archive's stanzas that is newer than the pin.
func newestOf(ctx context.Context, r release.Recipe, pinned string, list []map[string]string) string {
	best, inSeries := pinned, pinned
	for _, stanza := range list {
		v := stanza["Version"]
		if newer(ctx, v, best) {
			best = v
		}
		if r.InSeries(upstream(v)) && newer(ctx, v, inSeries) {
			inSeries = v
		}
	}
	switch {
	case inSeries != pinned:
		return inSeries
	case best != pinned:
		return best
	}
	return ""
}

// newerURL looks into the folder that the file of the URL is in for the same
// name with another version.
func (s *Store) newerURL(ctx context.Context, r release.Recipe, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	name := path.Base(u.Path)
	sp, ok := spelled(name, r.Version)
	if !ok {
		return "", fmt.Errorf("the name %s does not have the version %s in it", name, r.Version)
	}
	dir := *u
	dir.Path, dir.RawPath, dir.RawQuery = strings.TrimSuffix(path.Dir(u.Path), "/")+"/", "", ""
	names, err := s.list(ctx, &dir)
	if err != nil {
		return "", fmt.Errorf("list %s: %w", &dir, err)
	}
	return sp.newest(r, names), nil
}

// list returns the names in a folder.
func (s *Store) list(ctx context.Context, dir *url.URL) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.idle, fmt.Errorf("the server gave no answer within %v", s.idle))
	defer cancel()
	if dir.Scheme == "ftp" {
		return s.ftpList(ctx, dir)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, dir.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		var named *url.Error // the caller names the address
		if errors.As(err, &named) {
			err = named.Err
		}
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	names := linked(io.LimitReader(resp.Body, maxListing), dir)
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if len(names) == 0 {
		return nil, errors.New("the server does not list the folder")
	}
	return names, nil
}
