package publish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tench/internal/lab"
)

// bigSource is a release of 3 MB.
func bigSource(t *testing.T, name string) *Source {
	t.Helper()
	return read(t, makeRelease(t, name, map[string][]byte{"a.img.zst": content(name, 3_000_000), "NOTES.md": []byte(name)}))
}

func TestPublishOverSSH(t *testing.T) {
	for name, tc := range map[string]struct {
		settings []string
		tree     string // "" for an absolute path
		how      string
	}{
		"with a shell": {nil, "", "by the host's sha256sum"},
		"SFTP alone":   {[]string{"ForceCommand internal-sftp"}, "", "read back over SFTP"},
		"a shell that sees other files": {
			[]string{"Subsystem sftp internal-sftp -d %s"}, "it's a tree", "read back over SFTP",
		},
	} {
		t.Run(name, func(t *testing.T) {
			lab.RequireRoot(t)
			there := treeDir(t)
			for i, s := range tc.settings {
				tc.settings[i] = strings.ReplaceAll(s, "%s", there)
			}
			h := startHost(t, tc.settings...)
			path := filepath.Join(there, "it's a tree") // a shell there has to take it
			dir := path
			if tc.tree != "" {
				path = tc.tree
			}
			tree := h.open(t, path)
			var heard *heard
			for _, r := range []string{"r1", "r2", "r3"} {
				heard = publish(t, tree, bigSource(t, r), 2)
				if got := served(t, dir); got != r {
					t.Errorf("served is %s, want %s", got, r)
				}
			}
			if got := strings.Join(heard.lines, "\n"); !strings.Contains(got, "verified 3 files, "+tc.how) {
				t.Errorf("want %q in\n%s", tc.how, got)
			}
			if _, err := tree.Rollback(t.Context(), options(heard)); err != nil {
				t.Fatal(err)
			}
			if got := served(t, dir); got != "r2" {
				t.Errorf("after the rollback %s is served", got)
			}
			// Times are whole seconds over SFTP: of two releases the names decide.
			if got := show(t, tree); got != "r3 r2*" {
				t.Errorf("the tree has %s", got)
			}
		})
	}
}

func TestBrokenLine(t *testing.T) {
	for name, settings := range map[string][]string{"with a shell": nil, "SFTP alone": {"ForceCommand internal-sftp"}} {
		t.Run(name, func(t *testing.T) {
			h := startHost(t, settings...)
			dir := treeDir(t)
			publish(t, h.open(t, dir), bigSource(t, "r1"), 3)

			src := bigSource(t, "r2")
			line := h.through(t, 2_500_000, false) // of which 1 MiB may be on the way
			err := line.open(t, dir).Publish(t.Context(), src, options(&heard{}))
			if err == nil || !strings.Contains(err.Error(), "the connection was lost") || !strings.Contains(err.Error(), "goes on where this one stopped") {
				t.Errorf("Publish over a line that breaks = %v", err)
			}
			if got := served(t, dir); got != "r1" {
				t.Errorf("after the break %s is served", got)
			}
			again := publish(t, h.open(t, dir), src, 3)
			if got := served(t, dir); got != "r2" {
				t.Errorf("after the next run %s is served", got)
			}
			if again.sent > src.Size()-1_000_000 {
				t.Errorf("%d of %d bytes were sent again", again.sent, src.Size())
			}
		})
	}
}

func TestDeadLine(t *testing.T) {
	h := startHost(t)
	dir := treeDir(t)
	line := h.through(t, 1_500_000, true)
	a := line.access()
	a.Patience = time.Second
	tree, err := Open(t.Context(), line.dest(dir), a)
	must(t, err)
	defer tree.Close()
	err = tree.Publish(t.Context(), bigSource(t, "r1"), options(&heard{}))
	if err == nil || !strings.Contains(err.Error(), "nothing came from the host for 1s: the line is dead") {
		t.Errorf("Publish over a line that falls silent = %v", err)
	}
}

// A disk that fills up leaves the release before in force, and what was sent.
func TestFullDisk(t *testing.T) {
	for name, far := range map[string]bool{"here": false, "on a host": true} {
		t.Run(name, func(t *testing.T) {
			lab.RequireRoot(t)
			dir := treeDir(t)
			must(t, unix.Mount("tench", dir, "tmpfs", 0, "size=8m"))
			t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
			tree := &Tree{local{dir}}
			if far {
				tree = startHost(t).open(t, dir)
			}
			publish(t, tree, bigSource(t, "r1"), 3)
			src := bigSource(t, "r2")
			filler := filepath.Join(dir, "filler")

			must(t, os.WriteFile(filler, make([]byte, 3_000_000), 0o644))
			err := tree.Publish(t.Context(), src, options(&heard{}))
			if err == nil || !strings.Contains(err.Error(), "no room: ") {
				t.Errorf("Publish without room = %v", err)
			}
			must(t, os.Remove(filler))

			// Somebody else fills the disk when it was found to have room.
			o := options(&heard{})
			o.Report = onSend{&heard{}, func() { must(t, os.WriteFile(filler, make([]byte, 3_000_000), 0o644)) }}
			err = tree.Publish(t.Context(), src, o)
			if err == nil || !strings.Contains(err.Error(), "no room: ") {
				t.Errorf("Publish to a disk that fills up = %v", err)
			}
			if got := served(t, dir); got != "r1" {
				t.Errorf("with a full disk %s is served", got)
			}
			must(t, os.Remove(filler))
			if again := publish(t, tree, src, 3); again.sent > src.Size()-1_000_000 {
				t.Errorf("%d of %d bytes were sent again", again.sent, src.Size())
			}
			if got := served(t, dir); got != "r2" {
				t.Errorf("after the next run %s is served", got)
			}
		})
	}
}

// onSend does something when sending begins.
type onSend struct {
	*heard
	do func()
}

func (o onSend) Start(step, detail string) {
	o.heard.Start(step, detail)
	if step == "send" {
		o.do()
	}
}
