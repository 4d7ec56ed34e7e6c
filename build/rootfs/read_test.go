package rootfs

import (
	"bufio"
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/internal/flist"
	"tench/overlays"
)

// TestReadOurs reads back what Build wrote.
func TestReadOurs(t *testing.T) {
	f := testFiles(t,
		overlays.Entry{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777, From: "o"},
		overlays.Entry{Path: "etc/localtime", Mode: fs.ModeSymlink | 0o777, Link: "/usr/UTC", From: "o"},
		file("etc/hosts", []byte("localhost\n")))
	rd, err := Build(t.Context(), board, f, Options{Out: t.TempDir(), Epoch: epoch})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(t.Context(), rd.Path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range got {
		lines = append(lines, e.String())
	}
	want := []string{
		"drwxr-xr-x 0:0 bin",
		"-rw-r--r-- 0:0 bin/bb.zst",
		"lrwxrwxrwx 0:0 bin/bb -> tenchd",
		"lrwxrwxrwx 0:0 bin/gosh -> bb",
		"lrwxrwxrwx 0:0 bin/ls -> bb",
		"lrwxrwxrwx 0:0 bin/sh -> gosh",
		"-rwxr-xr-x 0:0 bin/tenchd",
		"drwxr-xr-x 0:0 dev",
		"crw------- 0:0 dev/console 5,1",
		"crw-rw-rw- 0:0 dev/null 1,3",
		"drwxr-xr-x 0:0 etc",
		"-rw-r--r-- 0:0 etc/hosts",
		"lrwxrwxrwx 0:0 etc/localtime -> /usr/UTC",
		"drwxr-xr-x 0:0 etc/tench",
		"-rw-r--r-- 0:0 etc/tench/board.toml",
		"-rw-r--r-- 0:0 etc/tench/build.json",
		"lrwxrwxrwx 0:0 init -> bin/tenchd",
		"drwxrwxrwt 0:0 tmp",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("Read (-want +got)\n%s", diff)
	}
}

// gnuArchive lets GNU cpio pack a folder.
func gnuArchive(t *testing.T, dir string) []byte {
	t.Helper()
	cmd := exec.Command("cpio", "--create", "--format=newc", "--quiet", "--owner=12:34")
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader("bin\nbin/run\nbin/link\npipe\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReadTheirs(t *testing.T) {
	dir := t.TempDir()
	run(t, nil, "mkdir", "-m", "2750", filepath.Join(dir, "bin"))
	run(t, nil, "mkfifo", "-m", "600", filepath.Join(dir, "pipe"))
	if err := os.WriteFile(filepath.Join(dir, "bin/run"), []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "chmod", "4751", filepath.Join(dir, "bin/run"))
	if err := os.Symlink("run", filepath.Join(dir, "bin/link")); err != nil {
		t.Fatal(err)
	}
	archive := gnuArchive(t, dir)
	got, err := readBytes(t.Context(), archive)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range got {
		lines = append(lines, e.String())
	}
	want := []string{"drwxr-s--- 12:34 bin", "-rwsr-x--x 12:34 bin/run", "lrwxrwxrwx 12:34 bin/link -> run", "prw------- 12:34 pipe"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	first := archive[:newcHeader+len("bin\x00")+2] // padded to a multiple of four
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"cut off":         {archive[:200], "entry 2 at byte 200: unexpected EOF"},
		"no trailer":      {archive[:bytes.Index(archive, []byte(newcTrailer))-newcHeader], "EOF"},
		"other magic":     {[]byte("070707" + string(archive[6:])), `entry 1 at byte 110: magic "070707" is not 070701`},
		"not hexadecimal": {[]byte(newcMagic + "0000000x" + string(archive[14:])), `number "0000000x" is not hexadecimal`},
		"twice in two":    {append(bytes.Clone(archive), archive...), "bin is in the initramfs twice"},
		"another behind":  {zstd(t, append(bytes.Clone(archive), archive...)), "there is more behind the end of the archive"},
		"two of one path": {append(bytes.Clone(first), archive...), "bin is in the initramfs twice"},
		"leaves the tree": {bytes.Replace(archive, []byte("bin/run\x00"), []byte("../runn\x00"), 1), `"../runn": a path has no leading slash`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readBytes(t.Context(), tc.data)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("readArchives = %v, want an error with %q", err, tc.want)
			}
		})
	}
}

func TestReadDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(path, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Read(t.Context(), path)
	if err == nil || !strings.HasPrefix(err.Error(), "rootfs: read "+path+": zstd: exit status 1: ") {
		t.Errorf("Read = %v, want what zstd says", err)
	}
}

func readBytes(ctx context.Context, data []byte) ([]flist.Entry, error) {
	return readArchives(ctx, bufio.NewReader(bytes.NewReader(data)))
}

func zstd(t *testing.T, data []byte) []byte {
	t.Helper()
	return []byte(run(t, data, "zstd", "-cq"))
}

func FuzzReadCPIO(f *testing.F) {
	var ours bytes.Buffer
	if err := writeCPIO(&ours, []overlays.Entry{file("a", []byte("abc")), {Path: "b", Mode: fs.ModeSymlink | 0o777, Link: "a"}}, 1); err != nil {
		f.Fatal(err)
	}
	f.Add(ours.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newcReader{r: bufio.NewReader(bytes.NewReader(data))}
		list, err := c.archive(map[string]bool{})
		if err != nil {
			return
		}
		for _, e := range list {
			if err := e.Check(); err != nil {
				t.Error(err)
			}
		}
	})
}
