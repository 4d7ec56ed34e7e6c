package overlays

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"tench/boards"
)

var board = boards.Board{Name: "small"}

// write makes files below a new folder; a name that ends in "/" is a folder, a
// text "-> x" a link to x, and "+x " makes a file executable.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case strings.HasSuffix(name, "/"):
			must(t, os.MkdirAll(path, 0o700))
		case strings.HasPrefix(text, "-> "):
			must(t, os.Symlink(text[3:], path))
		case strings.HasPrefix(text, "+x "):
			must(t, os.WriteFile(path, []byte(text[3:]), 0o700))
		default:
			must(t, os.WriteFile(path, []byte(text), 0o600))
		}
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	dir := write(t, map[string]string{
		"common/etc/hosts": "localhost", "common/etc/motd": "common", "common/bin/run": "+x #!",
		"common/etc/localtime": "-> /usr/share/zoneinfo/UTC", "common/outside": "-> ../../../../etc/passwd",
		"common.flist": `# comment
drwxrwxrwt 0:0 tmp
-rw------- 0:0 etc/hosts
drwx------ 0:0 var/lib
-rw-r--r-- 0:0 bin/run
-rw-r--r-- 0:0 not/there
drwx------ 0:0 etc/motd
`,
		"small/etc/motd": "small", "small/var/lib/x": "",
		"small.flist":    "drwxr-x--- 0:0 etc\n",
		"other/etc/motd": "other",
	})
	got, err := Load(dir, board)
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Path: "bin", Mode: os.ModeDir | 0o755},
		{Path: "bin/run", Mode: 0o755, Data: []byte("#!")},
		{Path: "etc", Mode: os.ModeDir | 0o750},
		{Path: "etc/hosts", Mode: 0o600, Data: []byte("localhost")},
		{Path: "etc/localtime", Mode: os.ModeSymlink | 0o777, Link: "/usr/share/zoneinfo/UTC"},
		{Path: "etc/motd", Mode: 0o644, Data: []byte("small")},
		{Path: "outside", Mode: os.ModeSymlink | 0o777, Link: "../../../../etc/passwd"},
		{Path: "tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
		{Path: "var", Mode: os.ModeDir | 0o755},
		{Path: "var/lib", Mode: os.ModeDir | 0o700},
		{Path: "var/lib/x", Mode: 0o644, Data: []byte{}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Entry{}, "From")); diff != "" {
		t.Errorf("Load (-want +got)\n%s", diff)
	}
}

// git keeps no empty folders: of a layer that has nothing else the list is there.
func TestLoadOfAListAlone(t *testing.T) {
	got, err := Load(write(t, map[string]string{"common/a": "", "small.flist": "drwx------ 0:0 var/lib/small\n"}), board)
	if err != nil {
		t.Fatal(err)
	}
	want := []Entry{
		{Path: "a", Mode: 0o644, Data: []byte{}},
		{Path: "var", Mode: os.ModeDir | 0o755},
		{Path: "var/lib", Mode: os.ModeDir | 0o755},
		{Path: "var/lib/small", Mode: os.ModeDir | 0o700},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Entry{}, "From")); diff != "" {
		t.Errorf("Load (-want +got)\n%s", diff)
	}
}

func TestLoadRefuses(t *testing.T) {
	pem := "-----BEGIN " + "RSA PRIVATE KEY-----"
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no common overlay", map[string]string{"small/a": ""}, "overlay common: "},
		{"overlay that is a link", map[string]string{"real/a": "", "common": "-> real"}, "common is not a folder"},
		{"PEM key", map[string]string{"common/etc/key": "x\n" + pem + "\nMII"}, "common/etc/key looks like a private key"},
		{"OpenSSH key", map[string]string{"common/k": strings.Replace(pem, "RSA", "OPENSSH", 1)}, "common/k looks like a private key"},
		{"PKCS 8 key", map[string]string{"common/k": strings.Replace(pem, "RSA ", "", 1)}, "common/k looks like a private key"},
		{"PGP key", map[string]string{"common/k": "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----"}, "common/k looks like a private key"},
		{"OpenVPN key", map[string]string{"common/k": "<tls-auth>\n-----BEGIN " + "OpenVPN Static key V1-----"}, "common/k looks like a private key"},
		{"signify key", map[string]string{"common/k": "untrusted comment: x\n" + "RWRCS" + strings.Repeat("A", 134) + "=\n"}, "common/k looks like a private key"},
		{"file over folder", map[string]string{"common/etc/x/y": "", "small/etc/x": ""}, "one is a folder and the other is not"},
		{"mode with setuid", map[string]string{"common/a": "", "common.flist": "-rwsr-xr-x 0:0 a\n"}, "common.flist: -rwsr-xr-x 0:0 a: no program of the box runs setuid"},
		{"mode not readable", map[string]string{"common/a": "", "common.flist": "0644 0:0 a\n"}, `common.flist:1: mode "0644"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(write(t, tt.files), board)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestLoadRefusesPipes(t *testing.T) {
	dir := write(t, map[string]string{"common/etc/": ""})
	must(t, unix.Mkfifo(filepath.Join(dir, "common/etc/fifo"), 0o600))
	_, err := Load(dir, board)
	if err == nil || !strings.Contains(err.Error(), "common/etc/fifo is a device, socket or pipe") {
		t.Errorf("Load = %v, want an error that names the pipe", err)
	}
}

func TestOurOverlaysLoad(t *testing.T) {
	list, err := boards.List("../boards")
	must(t, err)
	for _, b := range list {
		entries, err := Load(".", b)
		if err != nil {
			t.Errorf("%s: %v", b.Name, err)
		}
		if len(entries) == 0 {
			t.Errorf("%s: the overlay is empty", b.Name)
		}
	}
}
