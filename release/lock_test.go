package release

import (
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testLock() Lock {
	return Lock{
		Schema: LockSchema, Release: "2026.11", Epoch: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
		Arches: []string{"386", "amd64"}, Commit: strings.Repeat("c", 40), Clean: true,
		Recipe:   map[string]string{"bird": sum1},
		Source:   map[string]string{"bird/source/bird.tar": sum1 + " 42"},
		Patch:    map[string]string{"linux/0001-a.patch": sum1},
		Fragment: map[string]string{"linux/net.config": sum1},
		Overlay:  map[string]string{"common.flist": sum1},
		Board:    map[string]string{"qemu-amd64": sum1},
		Module:   map[string]string{"go.sum": sum1},
		Tool:     map[string]string{"gcc": `gcc (Debian 12.2.0-14) "12.2.0"`},
	}
}

func TestLockRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "release.lock")
	if err := testLock().Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testLock(), got); diff != "" {
		t.Errorf("ReadLock (-want +got)\n%s", diff)
	}
	if _, err := ReadLock(path + ".none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadLock of nothing = %v, want fs.ErrNotExist", err)
	}
}

// git is the reader that a lock is made for: what changed is one line.
func TestAChangedInputIsOneLineInGit(t *testing.T) {
	dir := t.TempDir()
	before, after := testLock(), testLock()
	after.Patch = map[string]string{"linux/0001-a.patch": strings.Repeat("0", 64)}
	for name, l := range map[string]Lock{"before": before, "after": after} {
		if err := l.Write(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("git", "diff", "--no-index", "--numstat", "before", "after")
	cmd.Dir = dir
	out, _ := cmd.Output() // it exits with 1 when there is a difference
	if got := strings.Fields(string(out)); len(got) < 2 || got[0] != "1" || got[1] != "1" {
		t.Errorf("git counts %q, want one line for one", out)
	}
}

func TestLockChanges(t *testing.T) {
	other := strings.Repeat("0", 64)
	found := testLock()
	found.Commit, found.Clean = "", false // no change: it is for information
	found.Epoch = found.Epoch.AddDate(0, 1, 0)
	found.Patch = map[string]string{"linux/0001-a.patch": other, "linux/0002-b.patch": other}
	found.Fragment = nil
	found.Source = map[string]string{"bird/source/bird.tar": other + " 43"}
	found.Tool = map[string]string{"gcc": "gcc 13"}
	var got []string
	for _, c := range testLock().Changes(found) {
		got = append(got, c.String())
	}
	want := []string{
		"epoch: locked 2026-11-21T00:00:00Z, found 2026-12-21T00:00:00Z",
		"source bird/source/bird.tar: locked " + sum1[:12] + " (42 bytes), found 000000000000 (43 bytes)",
		"patch linux/0001-a.patch: locked " + sum1[:12] + ", found 000000000000",
		"patch linux/0002-b.patch: locked nothing, found 000000000000",
		"fragment linux/net.config: locked " + sum1[:12] + ", found nothing",
		`tool gcc: locked gcc (Debian 12.2.0-14) "12.2.0", found gcc 13`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Changes (-want +got)\n%s", diff)
	}
	if list := testLock().Changes(testLock()); list != nil {
		t.Errorf("Changes of the same = %v, want none", list)
	}
}

func TestLockOnly(t *testing.T) {
	l := testLock()
	got := l.Only(func(kind, name string) bool { return kind == "tool" || name == "qemu-amd64" })
	want := Lock{Schema: l.Schema, Release: l.Release, Epoch: l.Epoch, Arches: l.Arches, Commit: l.Commit, Clean: l.Clean, Board: l.Board, Tool: l.Tool,
		Recipe: map[string]string{}, Source: map[string]string{}, Patch: map[string]string{}, Fragment: map[string]string{}, Overlay: map[string]string{}, Module: map[string]string{}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Only (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(testLock(), l); diff != "" {
		t.Errorf("Only changed the lock it was made of (-want +got)\n%s", diff)
	}
}

func lockText(t testing.TB) string {
	t.Helper()
	data, err := testLock().encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestParseLockErrors(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"other schema":         {"schema = 1", "schema = 2", "l:2: schema: 2; this tench reads schema 1"},
		"unknown table":        {"[patch]", "[patches]", "l:15: unknown key \"patches\"\n  hint: did you mean \"patch\"?"},
		"hash cut":             {"0001-a.patch' = '" + sum1, "0001-a.patch' = '" + sum1[:63], `l:16: patch."linux/0001-a.patch": "` + sum1[:63] + `" is not as tench lock writes it`},
		"no size":              {sum1 + " 42", sum1, `l:13: source."bird/source/bird.tar"`},
		"no architectures":     {"['386', 'amd64']", "[]", "l:5: architectures: a lock holds for at least one"},
		"tool with a line end": {`'gcc (Debian 12.2.0-14) "12.2.0"'`, `"gcc\nx"`, `l:31: tool."gcc"`},
		"merge conflict":       {"[patch]", "<<<<<<< HEAD\n[patch]", "l:15: "},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(lockText(t), tc.old, tc.new, 1)
			_, err := ParseLock("l", []byte(text))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("ParseLock = %v\nwant %s…\nof %s", err, tc.want, text)
			}
		})
	}
}

// Whatever is read is written again as the same.
func FuzzParseLock(f *testing.F) {
	f.Add([]byte(lockText(f)))
	f.Add([]byte("schema = 1\nrelease = \"a\"\nepoch = 2026-11-21T00:00:00+02:00\narchitectures = [\"arm\"]\n[tool]\n\"a b\" = \"'\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ParseLock("l", data)
		if err != nil {
			return
		}
		text, err := l.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseLock("l", text)
		if err != nil {
			t.Fatalf("%v\nof %q", err, data)
		}
		if list := l.Changes(again); list != nil {
			t.Errorf("read again it has %v", list)
		}
	})
}
