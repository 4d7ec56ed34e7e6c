package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func sample() Archive {
	return Archive{
		About: About{Format: Format, Files: 9, Board: "apu2", Release: "2026.11", Ports: []Port{{Label: "LAN", Name: "eth1", MAC: "52:54:00:00:00:11"}}},
		Generations: []Generation{
			{Number: 2, Data: []byte("hostname = \"old\"\n")},
			{Number: 10, Data: []byte("hostname = \"gw0\"\n"), Notes: []byte("{\"by\":\"anna@desk\"}\n")},
			{Number: 11, Data: []byte{}},
		},
		Current: 10,
		Identity: []File{
			{"name", []byte("gw0\n")},
			{"secrets/wan", []byte("s3cret")},
			{"ssh_host_ed25519_key", []byte("KEY\n")},
			{"update-keys/tench.pub", []byte("PUB\n")},
		},
	}
}

func stream(t *testing.T, a Archive) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, a); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	data := stream(t, sample())
	got, err := Read(iotest.OneByteReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sample(), got); diff != "" {
		t.Errorf("Read (-want +got):\n%s", diff)
	}
	if !bytes.Equal(stream(t, got), data) {
		t.Error("the same archive gives other bytes the second time")
	}
	if name := got.Name(); name != "gw0" {
		t.Errorf("Name = %q; want gw0", name)
	}
	if g, ok := got.InForce(); !ok || g.Number != 10 {
		t.Errorf("InForce = %d, %v; want generation 10", g.Number, ok)
	}
}

// GNU tar is the independent reader.
func TestTarReadsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(file, stream(t, sample()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tar", "--utc", "--numeric-owner", "-tvf", file).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		got = append(got, f[0]+" "+f[1]+" "+f[3]+" "+f[5])
	}
	want := []string{
		"-rw------- 0/0 1970-01-01 about.json",
		"-rw------- 0/0 1970-01-01 config/2/router.toml",
		"-rw------- 0/0 1970-01-01 config/10/router.toml",
		"-rw------- 0/0 1970-01-01 config/10/about.json",
		"-rw------- 0/0 1970-01-01 config/11/router.toml",
		"-rw------- 0/0 1970-01-01 config/current",
		"-rw------- 0/0 1970-01-01 identity/name",
		"-rw------- 0/0 1970-01-01 identity/secrets/wan",
		"-rw------- 0/0 1970-01-01 identity/ssh_host_ed25519_key",
		"-rw------- 0/0 1970-01-01 identity/update-keys/tench.pub",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tar -tv (-want +got):\n%s", diff)
	}
}

// entry is a file of a tar archive that somebody else made.
type entry struct {
	header tar.Header
	data   string
}

func file(name, data string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatUSTAR, Name: name, Mode: 0o777}, data}
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if e.header.Typeflag == tar.TypeReg {
			e.header.Size = int64(len(e.data))
		}
		if err := w.WriteHeader(&e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostileArchives(t *testing.T) {
	about := file("about.json", `{"format":1,"files":1}`)
	router := file("config/1/router.toml", "")
	special := func(kind byte, name, link string) entry {
		return entry{tar.Header{Typeflag: kind, Format: tar.FormatUSTAR, Name: name, Linkname: link}, ""}
	}
	many := []entry{about}
	for i := range MaxFiles {
		many = append(many, file(fmt.Sprint("identity/secrets/", i), "x"))
	}
	whole := pack(t, about, router)
	for _, tc := range []struct {
		name string
		data []byte
		want string // part of the error
	}{
		{"nothing", nil, "this is no backup"},
		{"no tar archive", []byte(strings.Repeat("tench", 200)), "invalid tar header"},
		{"about.json alone", pack(t, file("about.json", `{"format":1}`)), "neither a generation"},
		{"no about.json", pack(t, router), "it has no about.json"},
		{"about.json is no JSON", pack(t, file("about.json", "{"), router), "about.json: unexpected end"},
		{"a newer format", pack(t, file("about.json", `{"format":2}`), router), "format 2 is newer"},
		{"a path that climbs out", pack(t, about, file("identity/../../etc/passwd", "x")), "no name of an identity's file"},
		{"an absolute path", pack(t, about, file("/etc/passwd", "x")), "no place in a backup"},
		{"an absolute path below identity", pack(t, about, file("identity//etc/passwd", "x")), "no name of an identity's file"},
		{"a hidden file", pack(t, about, file("identity/.ssh/rc", "x")), "no name of an identity's file"},
		{"a name for the terminal", pack(t, about, file("identity/\x1b[2J", "x")), "no name of an identity's file"},
		{"a path too deep", pack(t, about, file("identity/a/b/c/d", "x")), "no name of an identity's file"},
		{"a file beside the generations", pack(t, about, file("config/1/evil", "x")), "no place in a backup"},
		{"state", pack(t, about, router, file("state/clock", "x")), "no place in a backup"},
		{"generation zero", pack(t, about, file("config/0/router.toml", "x")), "no place in a backup"},
		{"a number with a zero in front", pack(t, about, file("config/01/router.toml", "x")), "no place in a backup"},
		{"notes without a generation", pack(t, about, file("config/1/about.json", "{}")), "generation 1 has no router.toml"},
		{"current is no number", pack(t, about, router, file("config/current", "x\n")), `"x" is not the number`},
		{"a symbolic link", pack(t, about, special(tar.TypeSymlink, "identity/name", "/etc/shadow")), "not a plain file"},
		{"a hard link", pack(t, about, router, special(tar.TypeLink, "identity/name", "config/1/router.toml")), "not a plain file"},
		{"a device", pack(t, about, special(tar.TypeBlock, "identity/name", "")), "not a plain file"},
		{"a folder", pack(t, about, special(tar.TypeDir, "identity/secrets", "")), "not a plain file"},
		{"an extended header", pack(t, about, entry{tar.Header{Typeflag: tar.TypeReg, Format: tar.FormatPAX, Name: "identity/name",
			PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"}}, ""}), "not a plain file"},
		{"the same file twice", pack(t, about, router, router), "is there twice"},
		{"a file that is a folder", pack(t, file("about.json", `{"format":1,"files":3}`), file("identity/a", "x"), file("identity/a-b", "x"), file("identity/a/b", "x")), "is a file and a folder"},
		{"a file too large", pack(t, about, file("config/1/router.toml", strings.Repeat("x", MaxFile+1))), "at most 262144"},
		{"too many files", pack(t, many...), "more than 1024 files"},
		{"a tail", append(bytes.Clone(whole), "tail"...), "something comes behind its end"},
		{"zeros without an end", append(bytes.Clone(whole), make([]byte, MaxTotal)...), "longer than 16777216 bytes"},
		{"cut within a file", stream(t, sample())[:1600], "instead of 9: it is not whole"},
		{"cut between two files", whole[:1024], "it has 0 files instead of 1: it is not whole"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := Read(bytes.NewReader(tc.data))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Read = %+v, %v; want an error with %q", a, err, tc.want)
			}
		})
	}
}

func TestTerminalIsNotSteered(t *testing.T) {
	a, err := Read(bytes.NewReader(pack(t, file("about.json", `{"format":1,"files":1,"board":"\u001b[2Jx","ports":[{"name":"eth\n0"}]}`), file("identity/name", "gw0\x07"))))
	if err != nil {
		t.Fatal(err)
	}
	if a.About.Board != "?[2Jx" || a.About.Ports[0].Name != "eth?0" || a.Name() != "gw0?" {
		t.Errorf("board %q, port %q, name %q: an escape got through", a.About.Board, a.About.Ports[0].Name, a.Name())
	}
}

func TestBoundsOfWrite(t *testing.T) {
	for want, change := range map[string]func(*Archive){
		"generation 2 has a file of more":     func(a *Archive) { a.Generations[0].Data = make([]byte, MaxFile+1) },
		"numbers begin at 1 and come once":    func(a *Archive) { a.Generations[1].Number = 2 },
		"no name of an identity's file":       func(a *Archive) { a.Identity[0].Path = "../x" },
		"it has neither a generation":         func(a *Archive) { a.Generations, a.Identity = nil, nil },
		"current generation -1":               func(a *Archive) { a.Current = -1 },
		"it has 2011 files; at most 1024":     func(a *Archive) { a.Identity = make([]File, 2005) },
		"identity/secrets/wan has 262145 byt": func(a *Archive) { a.Identity[1].Data = make([]byte, MaxFile+1) },
	} {
		a := sample()
		change(&a)
		var b bytes.Buffer
		if err := Write(&b, a); err == nil || !strings.Contains(err.Error(), want) || b.Len() > 0 {
			t.Errorf("Write: %v and %d bytes; want no byte and an error with %q", err, b.Len(), want)
		}
	}
}

func TestFolders(t *testing.T) {
	want := []string{"config", "config/10", "config/11", "config/2", "identity", "identity/secrets", "identity/update-keys", "state"}
	if diff := cmp.Diff(want, sample().Folders()); diff != "" {
		t.Errorf("Folders (-want +got):\n%s", diff)
	}
}

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gw0")
	if err := sample().Unpack(dir + "/"); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others may look", path, info.Mode())
		}
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			got[path[len(dir)+1:]] = string(data)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"config/2/router.toml": "hostname = \"old\"\n", "config/10/router.toml": "hostname = \"gw0\"\n", "config/11/router.toml": "",
		"config/10/about.json": "{\"by\":\"anna@desk\"}\n", "config/current": "10\n", "router.toml": "hostname = \"gw0\"\n",
		"identity/name": "gw0\n", "identity/secrets/wan": "s3cret", "identity/ssh_host_ed25519_key": "KEY\n", "identity/update-keys/tench.pub": "PUB\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if err := sample().Unpack(dir); err == nil || !strings.Contains(err.Error(), "something of this name already") {
		t.Errorf("Unpack onto what is there: %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What Read takes, Write writes again, and nothing in it leads out of a folder.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, sample()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(pack(f, file("about.json", `{"format":1}`), file("identity/../x", "y")))
	f.Add(pack(f, entry{tar.Header{Typeflag: tar.TypeSymlink, Name: "identity/name", Linkname: "/etc/shadow"}, ""}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		for _, file := range a.Files() {
			if !fs.ValidPath(file.Path) || strings.Contains(file.Path, "/.") {
				t.Errorf("path %q", file.Path)
			}
		}
		var again bytes.Buffer
		if err := Write(&again, a); err != nil {
			t.Fatalf("Write of what was read: %v", err)
		}
		b, err := Read(&again)
		if err != nil {
			t.Fatalf("Read of what was written: %v", err)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}

func TestReadPassesOnAnError(t *testing.T) {
	broken := errors.New("the line is dead")
	_, err := Read(io.MultiReader(bytes.NewReader(stream(t, sample())), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("Read = %v; want %v", err, broken)
	}
}
