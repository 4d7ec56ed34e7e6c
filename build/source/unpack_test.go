package source

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/release"
)

// tree lists what is below dir, a line for each entry.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		line := info.Mode().String() + " " + name
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " = " + string(data)
		case info.Mode().Type() == fs.ModeSymlink:
			target, _ := os.Readlink(path)
			line += " -> " + target
		}
		if info.Mode().Type() != fs.ModeSymlink && !info.ModTime().Equal(testTime) {
			line += " at " + info.ModTime().UTC().String()
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// compress puts data through a program.
func compress(t *testing.T, data []byte, name string, args ...string) []byte {
	t.Helper()
	need(t, name)
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// file puts data where Unpack finds it.
func file(t *testing.T, name string, data []byte, u release.Unpack) Fetched {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return Fetched{Path: path, Name: name, Size: int64(len(data)), Unpack: u}
}

// debOf makes a Debian package of the files, names with their content.
func debOf(t *testing.T, control string, files map[string][]byte) []byte {
	t.Helper()
	need(t, "dpkg-deb")
	root := filepath.Join(t.TempDir(), "deb")
	files["DEBIAN/control"] = []byte(control)
	for name, data := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, testTime, testTime); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("dpkg-deb", "--root-owner-group", "--build", root).CombinedOutput()
	if err != nil {
		t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	data, err := os.ReadFile(root + ".deb")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const controlText = "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a\n"

var sourceTree = []entry{
	{name: "linux-6.12/", kind: '5', mode: 0o755},
	{name: "linux-6.12/Makefile", text: "all:", mode: 0o644},
	{name: "linux-6.12/scripts/", kind: '5', mode: 0o555},
	{name: "linux-6.12/scripts/run", text: "#!/bin/sh", mode: 0o755},
	{name: "linux-6.12/scripts/setuid", text: "x", mode: 0o4755},
	{name: "linux-6.12/scripts/same", kind: '1', link: "linux-6.12/scripts/run"},
	{name: "linux-6.12/link", kind: '2', link: "scripts/run"},
	{name: "linux-6.12/late", text: "", mode: 0o600},
}

var wantTree = []string{
	"-rw-r--r-- Makefile = all:",
	"-rw------- late = ",
	"Lrwxrwxrwx link -> scripts/run",
	"drwxr-xr-x scripts",
	"-rwxr-xr-x scripts/run = #!/bin/sh",
	"-rwxr-xr-x scripts/same = #!/bin/sh",
	"-rwxr-xr-x scripts/setuid = x",
}

func TestUnpack(t *testing.T) {
	plain := archive(t, sourceTree...)
	xz := compress(t, plain, "xz", "-c")
	for name, f := range map[string]Fetched{
		"tar":             file(t, "a.tar", plain, release.Unpack{}),
		"tar.xz":          file(t, "a.tar.xz", xz, release.Unpack{}),
		"tar.gz":          file(t, "a.tar.gz", compress(t, plain, "gzip", "-c"), release.Unpack{}),
		"tar.zst":         file(t, "a.tar.zst", compress(t, plain, "zstd", "-c", "-q"), release.Unpack{}),
		"inside of a deb": file(t, "a.deb", debOf(t, controlText, map[string][]byte{"usr/src/linux.tar.xz": xz, "usr/share/doc/a": nil}), release.Unpack{Deb: true, Inner: "usr/src/linux.tar.xz"}),
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tree")
			var done, total int64
			err := Unpack(t.Context(), f, dir, Options{Progress: func(d, n int64, _ string) { done, total = d, n }})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantTree, tree(t, dir)); diff != "" {
				t.Errorf("tree (-want +got)\n%s", diff)
			}
			if total == 0 || done > total {
				t.Errorf("the last progress is %d of %d", done, total)
			}
			if left, _ := filepath.Glob(dir + ".*"); left != nil {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestUnpackDebDataTree(t *testing.T) {
	f := file(t, "a.deb", debOf(t, controlText, map[string][]byte{"usr/bin/tool": []byte("x"), "etc/conf": []byte("y")}), release.Unpack{Deb: true})
	dir := t.TempDir() // there already, and empty
	if err := Unpack(t.Context(), f, dir, Options{}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"usr/bin/tool": "x", "etc/conf": "y"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestUnpackErrors(t *testing.T) {
	good := archive(t, sourceTree...)
	xz := compress(t, append(good, noise(200_000)...), "xz", "-c")
	flipped := bytes.Clone(xz)
	flipped[len(flipped)/2] ^= 1
	deb := debOf(t, controlText, map[string][]byte{"usr/src/a": []byte("x")})
	in := func(entries ...entry) []byte { return archive(t, entries...) }
	top := entry{name: "top/", kind: '5', mode: 0o755}
	for name, tc := range map[string]struct {
		f    Fetched
		want string
	}{
		"entry above":             {file(t, "a", in(top, entry{name: "top/../../evil", text: "x"}), release.Unpack{}), `entry "top/../../evil" leaves the folder`},
		"absolute entry":          {file(t, "a", in(top, entry{name: "/tmp/evil", text: "x"}), release.Unpack{}), `entry "/tmp/evil" leaves the folder`},
		"entry through a link":    {file(t, "a", in(top, entry{name: "top/out", kind: '2', link: "../../.."}, entry{name: "top/out/evil", text: "x"}), release.Unpack{}), "entry top/out/evil: "},
		"entry through absolute":  {file(t, "a", in(top, entry{name: "top/out", kind: '2', link: "/"}, entry{name: "top/out/tmp/evil", text: "x"}), release.Unpack{}), "entry top/out/tmp/evil: "},
		"file over a link":        {file(t, "a", in(top, entry{name: "top/out", kind: '2', link: "/tmp/evil"}, entry{name: "top/out", text: "x"}), release.Unpack{}), "entry top/out: "},
		"hard link above":         {file(t, "a", in(top, entry{name: "top/out", kind: '1', link: "top/../../../etc/passwd"}), release.Unpack{}), "leaves the folder"},
		"device":                  {file(t, "a", in(top, entry{name: "top/dev", kind: '3'}), release.Unpack{}), "entry top/dev: type '3' is neither file, folder nor link"},
		"the same file twice":     {file(t, "a", in(top, entry{name: "top/a", text: "x"}, entry{name: "top/a", text: "y"}), release.Unpack{}), "entry top/a: "},
		"empty":                   {file(t, "a", in(top), release.Unpack{}), "the archive is empty"},
		"nothing at all":          {file(t, "a", nil, release.Unpack{}), "read archive: EOF"},
		"not an archive":          {file(t, "a", noise(5000), release.Unpack{}), "read archive: "},
		"tar cut off":             {file(t, "a", good[:len(good)-1024-256], release.Unpack{}), "unexpected EOF"},
		"xz cut off":              {file(t, "a", xz[:len(xz)/2], release.Unpack{}), "xz: (stdin): Unexpected end of input"},
		"xz flipped":              {file(t, "a", flipped, release.Unpack{}), "xz: (stdin): Compressed data is corrupt"},
		"deb cut off":             {file(t, "a", deb[:len(deb)/2], release.Unpack{Deb: true}), "dpkg-deb: "},
		"deb without the archive": {file(t, "a", deb, release.Unpack{Deb: true, Inner: "usr/src/b"}), "there is no usr/src/b in the package"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "a", "b", "tree")
			err := Unpack(t.Context(), tc.f, dir, Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Unpack = %v, want %q", err, tc.want)
			}
			for _, line := range tree(t, parent) {
				if !strings.HasPrefix(line, "drwxr-xr-x a") {
					t.Errorf("left behind: %s", line)
				}
			}
			if _, err := os.Lstat("/tmp/evil"); err == nil {
				t.Error("/tmp/evil was made")
			}
		})
	}
}

func TestUnpackInterrupted(t *testing.T) {
	plain := archive(t, append(sourceTree, entry{name: "linux-6.12/large", text: string(noise(8 << 20)), mode: 0o644})...)
	for name, data := range map[string][]byte{"tar": plain, "tar.xz": compress(t, plain, "xz", "-0c")} {
		t.Run(name, func(t *testing.T) {
			f := file(t, "a", data, release.Unpack{})
			ctx, cancel := context.WithCancel(t.Context())
			dir := filepath.Join(t.TempDir(), "tree")
			err := Unpack(ctx, f, dir, Options{Progress: func(done, total int64, _ string) {
				if done > total/4 {
					cancel()
				}
			}})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Unpack = %v, want context.Canceled", err)
			}
			if left, _ := filepath.Glob(dir + "*"); left != nil {
				t.Errorf("left behind: %v", left)
			}
			// What a killed run left is in nobody's way.
			if err := os.MkdirAll(filepath.Join(dir+".unpacking", "linux-6.12"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := Unpack(t.Context(), f, dir, Options{}); err != nil {
				t.Error(err)
			}
			if err := Unpack(t.Context(), f, dir, Options{}); err == nil {
				t.Error("Unpack writes into a folder that is not empty")
			}
		})
	}
}

// Whatever an archive holds, nothing appears outside of the folder.
func FuzzExtract(f *testing.F) {
	f.Add("top/a", "b", byte('0'), "top/b", "../../x", byte('2'), "top/b/c")
	f.Add("top/../../a", "", byte('0'), "/etc/x", "/", byte('2'), "top/b/c")
	f.Add("top/l", "..", byte('2'), "top/l/l", "top/l", byte('1'), "top/l/l/x")
	f.Fuzz(func(t *testing.T, name1, link1 string, kind1 byte, name2, link2 string, kind2 byte, name3 string) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "a", "tree")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		data, err := writeTar([]entry{{name: name1, link: link1, kind: kind1, mode: 0o644},
			{name: name2, link: link2, kind: kind2, mode: 0o644}, {name: name3, text: "x", mode: 0o644}})
		if err != nil {
			t.Skip("no such archive can be made: ", err)
		}
		_ = extract(t.Context(), bytes.NewReader(data), dir, 1)
		for _, outside := range []string{parent, filepath.Join(parent, "a")} {
			entries, err := os.ReadDir(outside)
			if err != nil || len(entries) != 1 {
				t.Errorf("%s has %v, %v; want one entry", outside, entries, err)
			}
		}
	})
}
