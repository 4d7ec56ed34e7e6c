package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testFiles(t *testing.T) []File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "stored")
	if err := os.WriteFile(path, []byte("source"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []File{
		{Name: "sources/gmp_6.2.1+dfsg1.tar.xz", Path: path},
		{Name: "modules/github.com/!proton!mail/go-crypto/@v/v1.4.1.mod", Data: []byte("module x\n")},
		{Name: "modules/x.test/" + strings.Repeat("long/", 60) + "@v/v1.0.0.info", Data: []byte("{}")},
	}
}

func write(t *testing.T, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(t.Context(), &b, files, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	files := testFiles(t)
	data := write(t, files)
	dir := t.TempDir()
	hashes, err := Unpack(t.Context(), bytes.NewReader(data), dir, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"source", "module x\n", "{}"} {
		got, err := os.ReadFile(filepath.Join(dir, files[i].Name))
		if err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", files[i].Name, got, err, want)
		}
		if hashes[files[i].Name] != hashOf(want) {
			t.Errorf("hash of %s = %s", files[i].Name, hashes[files[i].Name])
		}
	}
	files[0], files[2] = files[2], files[0]
	if !bytes.Equal(data, write(t, files)) {
		t.Error("the order of the files changes the bytes")
	}
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// tar and sha256sum are the independent readers.
func TestBundleIsReadByTarAndSha256sum(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "bundle.tar")
	if err := os.WriteFile(path, write(t, testFiles(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := exec.Command("tar", "-tf", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(list))
	if len(names) != 4 || names[0] != "SHA256" || names[3] != "sources/gmp_6.2.1+dfsg1.tar.xz" {
		t.Errorf("tar lists %q", names)
	}
	if out, err := exec.Command("tar", "-xf", path, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("tar -x: %v\n%s", err, out)
	}
	cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || strings.Count(string(out), ": OK") != 3 {
		t.Errorf("sha256sum --check: %v\n%s", err, out)
	}
}

func TestWriteErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		files []File
		want  string
	}{
		"out of the bundle": {[]File{{Name: "sources/../x"}}, `bundle: "sources/../x" is no name of a file in a bundle`},
		"name of an option": {[]File{{Name: "--x"}}, `bundle: "--x" is no name`},
		"line end":          {[]File{{Name: "sources/a\nb"}}, `bundle: "sources/a\nb" is no name`},
		"twice":             {[]File{{Name: "sources/a"}, {Name: "sources/a"}}, "bundle: two files have the name sources/a"},
		"no such file":      {[]File{{Name: "sources/a", Path: "/nothing"}}, "bundle: open /nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Write(t.Context(), &bytes.Buffer{}, tc.files, nil); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("Write = %v, want %s…", err, tc.want)
			}
		})
	}
}

// entry is one entry of a hostile tar archive.
type entry struct {
	tar.Header
	data string
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.data))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func file(name, data string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, data}
}

// sums is a list of hashes of "x".
func sums(names ...string) entry {
	var text string
	for _, n := range names {
		text += fmt.Sprintf("%s  %s\n", hashOf("x"), n)
	}
	return file("SHA256", text)
}

func TestHostileBundles(t *testing.T) {
	whole := archive(t, sums("sources/a", "sources/b"), file("sources/a", "x"), file("sources/b", "x"))
	link := entry{Header: tar.Header{Name: "sources/a", Linkname: "/etc", Typeflag: tar.TypeSymlink}}
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"empty":                    {nil, "this is no bundle of tench"},
		"not a tar archive":        {bytes.Repeat([]byte("x"), 2000), "this is no bundle of tench"},
		"no list of hashes":        {archive(t, file("sources/a", "x")), "this is no bundle of tench"},
		"list is a link":           {archive(t, entry{Header: tar.Header{Name: "SHA256", Linkname: "x", Typeflag: tar.TypeSymlink}}), "this is no bundle of tench"},
		"giant list":               {archive(t, file("SHA256", strings.Repeat("x", maxSums+1))), "SHA256 has 1048577 bytes"},
		"list of something else":   {archive(t, file("SHA256", "hello\n")), `SHA256: "hello\n" is not a hash and a name`},
		"path out of the folder":   {archive(t, sums("sources/../../x")), `"sources/../../x" is no name`},
		"absolute path":            {archive(t, sums("/etc/passwd")), `"/etc/passwd" is no name`},
		"another folder":           {archive(t, sums("other/x")), `"other/x" is no name`},
		"listed twice":             {archive(t, sums("sources/a", "sources/a")), "SHA256: sources/a is there twice"},
		"entry with dots":          {archive(t, sums("sources/a"), file("sources/../a", "x")), `"sources/../a" is no name`},
		"symbolic link":            {archive(t, sums("sources/a"), link), "sources/a is no regular file"},
		"hard link":                {archive(t, sums("sources/a"), entry{Header: tar.Header{Name: "sources/a", Linkname: "SHA256", Typeflag: tar.TypeLink}}), "sources/a is no regular file"},
		"folder":                   {archive(t, sums("sources/a"), entry{Header: tar.Header{Name: "sources/a/", Typeflag: tar.TypeDir}}), `"sources/a/" is no name`},
		"device":                   {archive(t, sums("sources/a"), entry{Header: tar.Header{Name: "sources/a", Typeflag: tar.TypeChar}}), "sources/a is no regular file"},
		"wrong hash":               {archive(t, sums("sources/a"), file("sources/a", "y")), "sources/a: its SHA-256 is "},
		"not on the list":          {archive(t, sums("sources/a"), file("sources/b", "x")), "sources/b is not on its list"},
		"there twice":              {archive(t, sums("sources/a"), file("sources/a", "x"), file("sources/a", "x")), "sources/a is not on its list of hashes, or there twice"},
		"file where a folder is":   {archive(t, sums("sources/a/b", "sources/a"), file("sources/a/b", "x"), file("sources/a", "x")), "file exists"},
		"folder where a file is":   {archive(t, sums("sources/a/b", "sources/a"), file("sources/a", "x"), file("sources/a/b", "x")), "file exists"},
		"larger than allowed":      {archive(t, sums("sources/a", "sources/b"), file("sources/a", strings.Repeat("x", 101))), "sources/a: the files are larger than everything"},
		"one file is missing":      {archive(t, sums("sources/a", "sources/b"), file("sources/b", "x")), "it lacks 1 of the files on its list, sources/a among them\nhint: was it copied whole?"},
		"cut in a header":          {whole[:2048+100], "unexpected EOF\nhint: was it copied whole?"},
		"cut between files":        {whole[:2048], "it lacks 1 of the files"},
		"cut in the list":          {whole[:600], "unexpected EOF\nhint: was it copied whole?"},
		"list says another header": {append(bytes.Clone(whole[:1024]), bytes.Repeat([]byte{7}, 512)...), "invalid tar header"},
	} {
		t.Run(name, func(t *testing.T) {
			outside := t.TempDir()
			dir := filepath.Join(outside, "dir")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := Unpack(t.Context(), bytes.NewReader(tc.data), dir, 100)
			if err == nil || !strings.HasPrefix(err.Error(), "bundle: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Unpack = %v, want %s", err, tc.want)
			}
			left, err := os.ReadDir(outside)
			if err != nil || len(left) != 1 {
				t.Errorf("beside the folder there is %v, %v", left, err)
			}
		})
	}
}

func TestUnpackEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Unpack(ctx, bytes.NewReader(write(t, testFiles(t))), t.TempDir(), 1000); !errors.Is(err, context.Canceled) {
		t.Errorf("Unpack with an ended context = %v", err)
	}
}

// Whatever Unpack takes is what the list of hashes says, and nothing else.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, sums("sources/a"), file("sources/a", "x")))
	f.Add(archive(f, sums("sources/a"), file("sources/../a", "x")))
	f.Add(archive(f, sums("modules/x.test/@v/v1.0.0.zip", "sources/a"), file("modules/x.test/@v/v1.0.0.zip", "x"), file("sources/a", "x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		hashes, err := Unpack(t.Context(), bytes.NewReader(data), dir, 1<<16)
		if err != nil {
			return
		}
		got := map[string]string{}
		err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			name, _ := filepath.Rel(dir, path)
			content, err := os.ReadFile(path)
			got[name] = hashOf(string(content))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(hashes, got); diff != "" {
			t.Errorf("files (-want +got)\n%s", diff)
		}
	})
}
