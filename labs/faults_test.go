package labs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tench/internal/lab"
)

// faultStops is how often the build of the tiny board is stopped.
const faultStops = 10

// TestFaultsStopped stops builds at points that chance draws, by ctrl-C or by a
// signal that nobody can handle. Nothing wrong may ever have a right name, and
// the next run completes what an undisturbed one makes.
func TestFaultsStopped(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	random := seededRandom(t)
	tree := newTinyTree(t)
	want := tree.build(t, tinyBuild{cache: t.TempDir()}) // and Go's own cache is filled
	began := time.Now()
	tree.rebuild(t, tinyBuild{cache: t.TempDir()}, want)
	most := time.Since(began) / 2 // so that a build is mostly stopped several times
	b := tinyBuild{cache: t.TempDir()}
	for stops := 0; stops < faultStops; {
		signal := []syscall.Signal{syscall.SIGINT, syscall.SIGKILL}[random.IntN(2)]
		if tree.stop(t, b, signal, time.Duration(random.Int64N(int64(most)))) {
			stops++
			checkCache(t, b.cache)
			checkOut(t, tree, want)
			continue
		}
		// It came to its end: begin again with nothing.
		tree.check(t, b, want)
		b = tinyBuild{cache: t.TempDir()}
		if err := os.RemoveAll(tree.out()); err != nil {
			t.Fatal(err)
		}
	}
	tree.rebuild(t, b, want)
	tree.check(t, b, want)
}

// seededRandom draws the points at which something is stopped, the same ones for
// the same TENCH_LAB_SEED.
func seededRandom(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TENCH_LAB_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TENCH_LAB_SEED=%d draws the same points again", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// rebuild builds, and wants the image with the hash.
func (tree tinyTree) rebuild(t *testing.T, b tinyBuild, want string) {
	t.Helper()
	if got := tree.build(t, b); got != want {
		t.Fatalf("the image has the hash %s, of an undisturbed build it is %s", got, want)
	}
}

// check looks at everything that a complete build leaves.
func (tree tinyTree) check(t *testing.T, b tinyBuild, want string) {
	t.Helper()
	checkCache(t, b.cache)
	checkOut(t, tree, want)
	for _, name := range []string{"tench-tiny.img", "SHA256", "manifest.json"} {
		if _, err := os.Stat(filepath.Join(tree.out(), name)); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(tree.out(), ".*")); len(left) > 0 {
		t.Errorf("left in the folder of the products: %v", left)
	}
}

// stop begins a build and sends it a signal: ctrl-C to all of its group, as a
// terminal does, SIGKILL to tench alone, as the kernel does that is short of
// memory. It returns false when the build came to its end before.
func (tree tinyTree) stop(t *testing.T, b tinyBuild, signal syscall.Signal, after time.Duration) bool {
	t.Helper()
	cmd, out := tree.command(t, b)
	return stoppable{cmd, out, b.cache}.stop(t, signal, after)
}

// stoppable is a call of tench.
type stoppable struct {
	cmd   *exec.Cmd
	out   *bytes.Buffer // what it says
	cache string
}

// stop is tinyTree.stop for any call of tench.
func (r stoppable) stop(t *testing.T, signal syscall.Signal, after time.Duration) bool {
	t.Helper()
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := r.cmd.Process.Pid
	target := map[syscall.Signal]int{syscall.SIGINT: -pid, syscall.SIGKILL: pid}[signal]
	timer := time.AfterFunc(after, func() { _ = syscall.Kill(target, signal) })
	err := r.cmd.Wait()
	timer.Stop()
	lines := strings.Split(strings.TrimSpace(r.out.String()), "\n")
	t.Logf("%v after %.2f s: %v: %s", signal, after.Seconds(), err, lines[len(lines)-1])
	if err == nil {
		return false
	}
	ended := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ended.Signaled() && ended.Signal() == signal {
		return true // ctrl-C too, before there is a handler
	}
	if ended.ExitStatus() != 130 || !strings.Contains(r.out.String(), "interrupted") {
		t.Errorf("interrupted, it ended with %v:\n%s", err, r.out)
	}
	wantNobody(t, r.cache)
	return true
}

// wantNobody waits until no process works for the cache any more.
func wantNobody(t *testing.T, cache string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var found string
		environs, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, path := range environs {
			if data, err := os.ReadFile(path); err == nil && bytes.Contains(data, []byte("CCACHE_DIR="+cache)) {
				words, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
				found = string(bytes.ReplaceAll(words, []byte{0}, []byte(" ")))
			}
		}
		if found == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the build was interrupted, but %s is still there", found)
		}
	}
}

// checkCache compares every product and download with the hash that it goes by.
func checkCache(t *testing.T, cache string) {
	t.Helper()
	products, err := filepath.Glob(filepath.Join(cache, "steps", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range products {
		var record struct {
			Files []struct{ Name, SHA256 string }
		}
		data, err := os.ReadFile(filepath.Join(dir, "step.json"))
		if err == nil {
			err = json.Unmarshal(data, &record)
		}
		if err != nil || len(record.Files) == 0 {
			t.Errorf("product %s has no whole record: %v", dir, err)
		}
		for _, f := range record.Files {
			if got := hashOf(t, filepath.Join(dir, "out", f.Name)); got != f.SHA256 {
				t.Errorf("%s of product %s has the hash %s, not %s", f.Name, dir, got, f.SHA256)
			}
		}
	}
	downloads, err := filepath.Glob(filepath.Join(cache, "dl", "sha256", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range downloads {
		if name := filepath.Base(path); len(name) == 2*sha256.Size && hashOf(t, path) != name {
			t.Errorf("download %s is something else", path)
		}
	}
}

func hashOf(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// checkOut wants the image with its hash, or none, and checksums that are true,
// or none.
func checkOut(t *testing.T, tree tinyTree, want string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(tree.out(), "tench-tiny.img")); !errors.Is(err, fs.ErrNotExist) {
		if got := tree.imageHash(t); got != want {
			t.Errorf("the image has the hash %s, not %s", got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(tree.out(), "SHA256")); !errors.Is(err, fs.ErrNotExist) {
		check := exec.Command("sha256sum", "--check", "--quiet", "SHA256")
		check.Dir = tree.out()
		if said, err := check.CombinedOutput(); err != nil {
			t.Errorf("sha256sum -c: %v\n%s", err, said)
		}
	}
}

// fails runs a build that must fail with a text that has all of want in it.
func (tree tinyTree) fails(t *testing.T, b tinyBuild, want ...string) {
	t.Helper()
	cmd, out := tree.command(t, b)
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("tench ended with %v, want exit status 1:\n%s", err, out)
	}
	for _, text := range want {
		if !strings.Contains(out.String(), text) {
			t.Errorf("tench does not say %q:\n%s", text, out)
		}
	}
}

// TestFaultsFullDisk builds with caches on file systems that are too small, and
// goes on when they have grown.
func TestFaultsFullDisk(t *testing.T) {
	lab.RequireRoot(t, append(tinyNeeds, "mount", "umount")...)
	tree := newTinyTree(t)
	want := tree.build(t, tinyBuild{cache: t.TempDir()})
	for _, size := range []string{"256k", "5m", "11m"} {
		t.Run(size, func(t *testing.T) {
			b := tinyBuild{cache: t.TempDir()}
			mount(t, b.cache, "-o", "size="+size, "-t", "tmpfs", "tmpfs")
			tree.fails(t, b, "hint: ")
			checkCache(t, b.cache)
			mount(t, b.cache, "-o", "remount,size=1g")
			tree.rebuild(t, b, want)
		})
	}
}

// mount mounts something on dir until the test ends; a remount needs no end of
// its own.
func mount(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Fatalf("mount %v: %v\n%s", args, err, out)
	}
	if !strings.Contains(args[1], "remount") {
		t.Cleanup(func() {
			if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
				t.Errorf("umount %s: %v\n%s", dir, err, out)
			}
		})
	}
}
