package publish

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/release"
)

func TestReadSourceRefuses(t *testing.T) {
	const hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // of nothing
	sums := func(dir, text string) error {
		return os.WriteFile(filepath.Join(dir, release.SumsFile), []byte(text), 0o644)
	}
	for name, tc := range map[string]struct {
		harm func(dir string) error
		want string
	}{
		"no SHA256":             {func(d string) error { return os.Remove(d + "/SHA256") }, "hint: tench release makes a directory"},
		"changed file":          {func(d string) error { return os.WriteFile(d+"/NOTES.md", []byte("x"), 0o644) }, "NOTES.md: has SHA-256"},
		"missing file":          {func(d string) error { return os.Remove(d + "/NOTES.md") }, "NOTES.md is in SHA256 but not there"},
		"link":                  {func(d string) error { return os.Symlink("NOTES.md", d+"/b") }, "b is a symbolic link"},
		"folder":                {func(d string) error { return errors.Join(os.Remove(d+"/empty"), os.Mkdir(d+"/empty", 0o755)) }, "empty is not a file"},
		"name that leads up":    {func(d string) error { return sums(d, "SHA256 (../a) = "+hash+"\n") }, `"../a" is not a file name`},
		"name with a folder":    {func(d string) error { return sums(d, "SHA256 (a/b) = "+hash+"\n") }, `"a/b" is not a file name`},
		"hidden name":           {func(d string) error { return sums(d, "SHA256 (.lock) = "+hash+"\n") }, `".lock" is not a file name`},
		"SHA256 in itself":      {func(d string) error { return sums(d, "SHA256 (SHA256) = "+hash+"\n") }, "names SHA256, which cannot be in it"},
		"its signature in it":   {func(d string) error { return sums(d, "SHA256 (SHA256.sig) = "+hash+"\n") }, "names SHA256.sig, which cannot be in it"},
		"SHA256 without an end": {func(d string) error { return sums(d, "SHA256 (empty) = "+hash) }, "it was cut"},
		"endless SHA256":        {func(d string) error { return os.Truncate(d+"/SHA256", sumsMax+1) }, "has more than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := makeRelease(t, "r1", map[string][]byte{"NOTES.md": []byte("notes\n"), "empty": {}})
			must(t, tc.harm(dir))
			_, err := ReadSource(t.Context(), dir, options(&heard{}))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ReadSource = %v, want …%s…", err, tc.want)
			}
		})
	}
}

func TestReleaseNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"2026.11": true, "v1.0-rc1+b2": true, "x": true,
		".hidden": false, "-rf": false, "a b": false, "a\nb": false, "a'b": false, strings.Repeat("x", 101): false,
	} {
		_, err := ReadSource(t.Context(), makeRelease(t, name, map[string][]byte{"a": {}}), options(&heard{}))
		if (err == nil) != ok {
			t.Errorf("ReadSource of %q = %v", name, err)
		}
	}
}

func TestStrayFilesStayBehind(t *testing.T) {
	dir := makeRelease(t, "r1", map[string][]byte{"a": []byte("x")})
	must(t, os.WriteFile(filepath.Join(dir, "a~"), []byte("y"), 0o644))
	h := &heard{}
	src, err := ReadSource(t.Context(), dir, options(h))
	must(t, err)
	if got := names(src.files); got != "SHA256, a" {
		t.Errorf("the release has %s", got)
	}
	if len(h.lines) == 0 || h.lines[0] != "warning a~ is not in SHA256: it is not published" {
		t.Errorf("no warning in %q", h.lines)
	}
}

func TestSignatureIsAskedFor(t *testing.T) {
	bad := errors.New("bad signature")
	check := func(sums, sig []byte) error {
		if strings.HasPrefix(string(sums), "SHA256 (a) = ") && string(sig) == "good" {
			return nil
		}
		return bad
	}
	o := options(&heard{})
	o.Signature = check
	dir := makeRelease(t, "r1", map[string][]byte{"a": {}})
	if _, err := ReadSource(t.Context(), dir, o); err == nil || !strings.Contains(err.Error(), "there is no SHA256.sig") {
		t.Errorf("ReadSource without a signature = %v", err)
	}
	sig := filepath.Join(dir, release.SignatureFile)
	must(t, os.WriteFile(sig, []byte("bad"), 0o644))
	if _, err := ReadSource(t.Context(), dir, o); !errors.Is(err, bad) {
		t.Errorf("ReadSource with a bad signature = %v", err)
	}
	must(t, os.WriteFile(sig, []byte("good"), 0o644))
	src, err := ReadSource(t.Context(), dir, o)
	must(t, err)

	// The signature goes along, and a rollback asks for it too.
	tree := &Tree{local{treeDir(t)}}
	publish(t, tree, src, 3)
	publish(t, tree, source(t, "r2"), 3)
	if _, err := tree.Rollback(t.Context(), o); err != nil {
		t.Errorf("Rollback to a signed release = %v", err)
	}
	publish(t, tree, source(t, "r2"), 3)
	publish(t, tree, source(t, "r3"), 3)
	if _, err := tree.Rollback(t.Context(), o); err == nil || !strings.Contains(err.Error(), "there is no SHA256.sig") {
		t.Errorf("Rollback to a release without a signature = %v", err)
	}
}
