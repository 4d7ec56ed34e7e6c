package publish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	me := options(&heard{}).Owner
	alive := me
	alive.PID = os.Getpid()
	elsewhere := me
	elsewhere.Host, elsewhere.Boot = "laptop", "2/1"
	rebooted := me
	rebooted.Boot = "2/1"
	for name, tc := range map[string]struct {
		owner     Owner
		breakLock bool
		taken     bool
	}{
		"of a process that is no more": {me, false, true},
		"of one that is alive":         {alive, false, false},
		"of another machine":           {elsewhere, false, false},
		"of this machine's last boot":  {rebooted, false, false},
		"of another machine, by force": {elsewhere, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := treeDir(t)
			tree := &Tree{local{dir}}
			o := options(&heard{})
			o.Owner = tc.owner
			if _, err := tree.lock(o); err != nil {
				t.Fatal(err)
			}
			h := &heard{}
			o = options(h)
			began := o.Now()
			o.Now = func() time.Time { return began.Add(5 * time.Minute) }
			o.BreakLock = tc.breakLock
			err := tree.Publish(t.Context(), source(t, "r1"), o)
			if (err == nil) != tc.taken {
				t.Fatalf("Publish = %v, want the lock taken over: %v", err, tc.taken)
			}
			if tc.taken {
				if _, err := os.Lstat(filepath.Join(dir, lockLink)); err == nil {
					t.Error("the lock is still there")
				}
				return
			}
			for _, want := range []string{"locked by anna@" + tc.owner.Host + " pid ", ", for 5m0s", "--break-lock"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Publish = %v, want …%s…", err, want)
				}
			}
		})
	}
}

// Whoever lost the lock must not switch.
func TestLostLock(t *testing.T) {
	dir := treeDir(t)
	o := options(&heard{})
	path := filepath.Join(dir, lockLink)
	o.Report = onSend{&heard{}, func() {
		must(t, os.Remove(path))
		must(t, os.Symlink("bob@laptop pid 1 boot 2/1 since 2026-11-25T00:00:00Z", path))
	}}
	err := (&Tree{local{dir}}).Publish(t.Context(), source(t, "r1"), o)
	if err == nil || !strings.Contains(err.Error(), "taken over by bob@laptop pid 1\n") {
		t.Errorf("Publish = %v", err)
	}
	for _, name := range []string{currentLink, whole("r1")} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			t.Errorf("it made %s", name)
		}
	}
	if _, err := os.Readlink(path); err != nil {
		t.Errorf("bob's lock: %v", err)
	}
}

// What the server says who holds the lock does not steer the terminal.
func TestLockOfAControlCharacter(t *testing.T) {
	dir := treeDir(t)
	must(t, os.Symlink("a\x1b[2J@b pid 1 boot 2/1 since x", filepath.Join(dir, lockLink)))
	err := (&Tree{local{dir}}).Publish(t.Context(), source(t, "r1"), options(&heard{}))
	if err == nil || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "a\ufffd[2J@b pid 1") {
		t.Errorf("Publish = %q", err)
	}
}

func TestMeIsAlive(t *testing.T) {
	tree := &Tree{local{treeDir(t)}}
	o := options(&heard{})
	o.Owner = Me()
	if o.Owner.Boot == "/" {
		t.Skip("no /proc")
	}
	l, err := tree.lock(o)
	must(t, err)
	if left(l.text, o.Owner) {
		t.Errorf("this process is taken for dead: %s", l.text)
	}
}

// A lock that cannot be made says so, and not what would have been in it.
func TestLockThatCannotBe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "nowhere")
	_, err := (&Tree{local{dir}}).lock(options(&heard{}))
	if want := "make " + dir + "/.lock: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("lock = %v, want %q", err, want)
	}
}
