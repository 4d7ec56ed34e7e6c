package source

import (
	"cmp"
	"io"
	"net/url"
	"path"
	"regexp"
	"strings"

	"golang.org/x/net/html"

	"tench/release"
)

// maxListing is more than a folder's listing has, in bytes.
const maxListing = 8 << 20

// linked returns the names of the files right below dir that an HTML page links
// to, as web servers list a folder.
func linked(page io.Reader, dir *url.URL) []string {
	var names []string
	for z := html.NewTokenizer(page); ; {
		switch z.Next() {
		case html.ErrorToken:
			return names
		case html.StartTagToken, html.SelfClosingTagToken:
			if name, more := z.TagName(); string(name) != "a" || !more {
				continue
			}
			for key, value, more := z.TagAttr(); ; key, value, more = z.TagAttr() {
				if string(key) == "href" {
					if name := below(dir, string(value)); name != "" {
						names = append(names, name)
					}
				}
				if !more {
					break
				}
			}
		}
	}
}

// below is the name of the file that a link means, "" if it is not right below dir.
func below(dir *url.URL, link string) string {
	u, err := dir.Parse(strings.TrimSpace(link))
	if err != nil || u.Host != dir.Host || strings.HasSuffix(u.Path, "/") || path.Dir(u.Path) != path.Clean(dir.Path) {
		return ""
	}
	return path.Base(u.Path)
}

// spelling is how names of one kind of file, or tags, have a version in them.
type spelling struct {
	before, after string // e.g. "bird2_" and ".orig.tar.gz"
	mark          string // between the numbers: ".", or "_" as in "R_2_0_12"
}

// spelled finds the version in a name.
func spelled(name, version string) (spelling, bool) {
	for _, mark := range []string{".", "_", "-"} {
		v := strings.ReplaceAll(version, ".", mark)
		if i := strings.LastIndex(name, v); i >= 0 && v != "" {
			return spelling{name[:i], name[i+len(v):], mark}, true
		}
	}
	return spelling{}, false
}

// releaseRE leaves out what comes before a release (rc, beta): nobody asks for
// it who asks for a newer version.
var releaseRE = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*[a-z]?$`)

// version returns the version in a name, with dots.
func (s spelling) version(name string) (string, bool) {
	if len(name) <= len(s.before)+len(s.after) || !strings.HasPrefix(name, s.before) || !strings.HasSuffix(name, s.after) {
		return "", false
	}
	v := name[len(s.before) : len(name)-len(s.after)]
	if s.mark != "." {
		if strings.Contains(v, ".") {
			return "", false
		}
		v = strings.ReplaceAll(v, s.mark, ".")
	}
	return v, releaseRE.MatchString(v)
}

// newest returns the newest version in names that is newer than the recipe's:
// one of its series where there is one, of any series otherwise.
func (s spelling) newest(r release.Recipe, names []string) string {
	var best, inSeries string
	for _, name := range names {
		v, ok := s.version(name)
		if !ok || compareVersions(v, r.Version) <= 0 {
			continue
		}
		if best == "" || compareVersions(v, best) > 0 {
			best = v
		}
		if r.InSeries(v) && (inSeries == "" || compareVersions(v, inSeries) > 0) {
			inSeries = v
		}
	}
	if inSeries != "" {
		return inSeries
	}
	return best
}

// compareVersions compares upstream versions, e.g. "1.10.2" and "1.9w", part by
// part: numbers by value, the letter behind a number next.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		an, bn := strings.TrimRight(as[i], letters), strings.TrimRight(bs[i], letters)
		x, y := strings.TrimLeft(an, "0"), strings.TrimLeft(bn, "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y), cmp.Compare(as[i][len(an):], bs[i][len(bn):])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

const letters = "abcdefghijklmnopqrstuvwxyz"
