package flist

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const listText = `# What the build makes.

drwxr-xr-x 0:0 bin
-rwxr-xr-x 0:0 bin/bb
lrwxrwxrwx 0:0 bin/sh -> gosh
# The kernel opens it before PID 1 mounts /dev.
crw------- 0:0 dev/console 5,1
brw-rw---- 0:6 dev/my disk 8,0
drwxrwxrwt 0:0 tmp
`

func parse(t *testing.T, text string) List {
	t.Helper()
	l, err := Parse("x/flist", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestParse(t *testing.T) {
	l := parse(t, listText)
	want := []Entry{
		{Mode: fs.ModeDir | 0o755, Path: "bin"},
		{Mode: 0o755, Path: "bin/bb"},
		{Mode: fs.ModeSymlink | 0o777, Path: "bin/sh", Target: "gosh"},
		{Mode: fs.ModeDevice | fs.ModeCharDevice | 0o600, Path: "dev/console", Device: "5,1"},
		{Mode: fs.ModeDevice | 0o660, GID: 6, Path: "dev/my disk", Device: "8,0"},
		{Mode: fs.ModeDir | fs.ModeSticky | 0o777, Path: "tmp"},
	}
	if diff := cmp.Diff(want, l.Entries()); diff != "" {
		t.Errorf("Entries (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(listText, l.Text()); diff != "" {
		t.Errorf("Text (-want +got)\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no owner":        {"-rw-r--r-- bin/x", `x/flist:1: a line is MODE OWNER:GROUP PATH, e.g. "-rwxr-xr-x 0:0 bin/tenchd"`},
		"octal mode":      {"0755 0:0 bin", `x/flist:1: mode "0755": it is ten letters`},
		"unknown type":    {"xrw-r--r-- 0:0 bin", `mode "xrw-r--r--"`},
		"letters mixed":   {"-wr-r--r-- 0:0 bin", `mode "-wr-r--r--"`},
		"sticky in front": {"-rwtr--r-- 0:0 bin", `mode "-rwtr--r--"`},
		"names":           {"-rw-r--r-- root:root bin", `owner "root:root": it is two numbers, e.g. "0:0"`},
		"one number":      {"-rw-r--r-- 0 bin", `owner "0"`},
		"leading slash":   {"-rw-r--r-- 0:0 /bin", `"/bin": a path has no leading slash`},
		"leaves the tree": {"-rw-r--r-- 0:0 ../bin", `"../bin": a path has no leading slash`},
		"two spaces":      {"-rw-r--r-- 0:0  bin", `" bin": no path begins or ends with a space`},
		"escape":          {"-rw-r--r-- 0:0 bin\x1b[2J", "no path holds control characters"},
		"no target":       {"lrwxrwxrwx 0:0 bin", "bin: a link has a target"},
		"no numbers":      {"crw------- 0:0 dev/null", "dev/null: a device has its two numbers behind its path"},
		"no device":       {"crw------- 0:0 dev/null five", "dev/null: a device has its two numbers"},
		"twice":           {"drwxr-xr-x 0:0 bin\n\ndrwxr-xr-x 0:0 bin", "x/flist:3: bin: it is already in line 1"},
		"two mistakes":    {"x\ny", "x/flist:1: a line is MODE OWNER:GROUP PATH, e.g. \"-rwxr-xr-x 0:0 bin/tenchd\"\nx/flist:2: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("x/flist", []byte(tc.text))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Parse = %v, want an error with %q", err, tc.want)
			}
		})
	}
}

// TestModesAsOthersWriteThem lets ls write the modes of files.
func TestModesAsOthersWriteThem(t *testing.T) {
	dir := t.TempDir()
	check := func(path string) {
		t.Helper()
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("ls", "-ldn", path).Output()
		if err != nil {
			t.Fatal(err)
		}
		want, _, _ := strings.Cut(string(out), " ")
		want = want[:10] // a further letter tells of an access list
		if got := modeText(info.Mode()); got != want {
			t.Errorf("%v is %q, ls writes %q", info.Mode(), got, want)
		}
		if back, ok := parseMode(want); !ok || back != info.Mode() {
			t.Errorf("parseMode(%q) = %v, %v, want %v", want, back, ok, info.Mode())
		}
	}
	file, folder, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "folder"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	for _, err := range []error{os.WriteFile(file, nil, 0o600), os.Mkdir(folder, 0o700), os.Symlink("x", link), unix.Mkfifo(pipe, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []uint32{0, 0o644, 0o755, 0o4755, 0o4644, 0o2755, 0o2644, 0o1777, 0o1776, 0o7777, 0o7000} {
		for _, path := range []string{file, folder} {
			if err := unix.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			check(path)
		}
	}
	check(link)
	check(pipe)
	check("/dev/null")
}

func TestCompare(t *testing.T) {
	lists := []List{
		parse(t, "drwxr-xr-x 0:0 bin\n-rwxr-xr-x 0:0 bin/bb\n-rw-r--r-- 0:0 etc/hosts\nlrwxrwxrwx 0:0 init -> bin/tenchd\n"),
		parse(t, "-rw------- 0:0 etc/hosts\n-rwxr-xr-x 0:0 bin/bird\n"),
	}
	found := parse(t, "drwxr-xr-x 0:0 bin\n-rwxr-xr-x 0:1 bin/bb\n-rw------- 0:0 etc/hosts\nlrwxrwxrwx 0:0 init -> bin/bb\n-rw-r--r-- 0:0 more\n").Entries()
	var got []string
	for _, d := range Compare(lists, found) {
		got = append(got, d.Lines()...)
	}
	want := []string{
		"- -rwxr-xr-x 0:0 bin/bb  (x/flist:2)",
		"+ -rwxr-xr-x 0:1 bin/bb",
		"- -rwxr-xr-x 0:0 bin/bird  (x/flist:2)",
		"- lrwxrwxrwx 0:0 init -> bin/tenchd  (x/flist:4)",
		"+ lrwxrwxrwx 0:0 init -> bin/bb",
		"+ -rw-r--r-- 0:0 more",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Compare (-want +got)\n%s", diff)
	}
	if same := Compare([]List{parse(t, listText)}, parse(t, listText).Entries()); len(same) > 0 {
		t.Errorf("Compare of a list with itself = %v", same)
	}
}

func TestRewriteKeepsComments(t *testing.T) {
	l := parse(t, listText)
	l.Remove("dev/my disk")
	l.Remove("nothing")
	l.Set(Entry{Mode: 0o644, Path: "a"})
	l.Set(Entry{Mode: 0o755, Path: "bin/zap"})
	l.Set(Entry{Mode: fs.ModeDir | 0o700, Path: "tmp"})
	want := `# What the build makes.

-rw-r--r-- 0:0 a
drwxr-xr-x 0:0 bin
-rwxr-xr-x 0:0 bin/bb
lrwxrwxrwx 0:0 bin/sh -> gosh
-rwxr-xr-x 0:0 bin/zap
# The kernel opens it before PID 1 mounts /dev.
crw------- 0:0 dev/console 5,1
drwx------ 0:0 tmp
`
	if diff := cmp.Diff(want, l.Text()); diff != "" {
		t.Errorf("Text (-want +got)\n%s", diff)
	}
	empty := parse(t, "")
	empty.Set(Entry{Mode: 0o644, Path: "a"})
	if got, want := empty.Text(), "-rw-r--r-- 0:0 a\n"; got != want {
		t.Errorf("a new list = %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(listText)
	f.Add("-rwsr-Sr-T 1:2 a -> b\nlrwxrwxrwx 0:0 a -> b -> c\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := Parse("x", []byte(text))
		if err != nil {
			return
		}
		for _, e := range l.Entries() {
			again, err := parseEntry(e.String())
			if err != nil || again != e {
				t.Errorf("%q is read as %+v, %v, want %+v", e, again, err, e)
			}
		}
	})
}
