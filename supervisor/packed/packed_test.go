package packed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestMain is tenchd as far as this package is concerned.
func TestMain(m *testing.M) {
	if bin := os.Getenv("PACKED_TEST_BIN"); bin != "" && Wanted(bin, os.Args[0]) {
		os.Stderr.WriteString(Exec(bin, os.Args).Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// box is a folder like the box's /bin: this program is tenchd, and /bin/echo of
// the machine the busybox. zstd packs it, which we did not write.
func box(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"tenchd": self, "bb": "tenchd", "gosh": "bb", "sh": "gosh", "ls": "bb"} {
		if err := os.Symlink(target, filepath.Join(bin, link)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("zstd", "-19", "-q", "/bin/echo", "-o", filepath.Join(bin, "bb.zst")).CombinedOutput(); err != nil {
		t.Fatalf("zstd: %v\n%s", err, out)
	}
	return bin
}

func call(bin, name string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Env = append(os.Environ(), "PACKED_TEST_BIN="+bin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestWanted(t *testing.T) {
	bin := box(t)
	for argv0, want := range map[string]bool{
		"ls": true, "/bin/ls": true, "sh": true, "bb": true, "gosh": true,
		"tenchd": false, "/init": false, "/proc/self/exe": false, "exe": false, "no-such": false, "": false,
	} {
		if got := Wanted(bin, argv0); got != want {
			t.Errorf("Wanted(%q) = %v, want %v", argv0, got, want)
		}
	}
}

func TestFirstCallUnpacks(t *testing.T) {
	bin := box(t)
	for range 2 { // packed, and then not
		out, err := call(bin, "sh", "one", "two words")
		if err != nil || out != "one two words\n" {
			t.Errorf("sh = %q, %v", out, err)
		}
	}
	info, err := os.Lstat(filepath.Join(bin, "bb"))
	if err != nil || info.Mode() != 0o755 {
		t.Errorf("bb: %v, %v, want a program", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(bin, "bb.*")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestManyFirstCallsAtOnce(t *testing.T) {
	bin := box(t)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if out, err := call(bin, "ls", "word"); err != nil || out != "word\n" {
				t.Errorf("ls = %q, %v", out, err)
			}
		})
	}
	wg.Wait()
}

// A command that cannot be unpacked says why, and leaves things as they were.
func TestDamagedArchive(t *testing.T) {
	bin := box(t)
	path := filepath.Join(bin, "bb.zst")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := call(bin, "ls")
	if err == nil || !strings.HasPrefix(out, filepath.Join(bin, "bb")+": unpack: ") {
		t.Errorf("ls = %q, %v, want why it cannot be unpacked", out, err)
	}
	if target, _ := os.Readlink(filepath.Join(bin, "bb")); target != "tenchd" {
		t.Errorf("bb is a link to %q, want tenchd", target)
	}
	if _, err := os.Lstat(filepath.Join(bin, "bb.new")); err == nil {
		t.Error("half a program is left")
	}
}

// Without the archive a command does not call itself again and again.
func TestNoArchive(t *testing.T) {
	bin := box(t)
	if err := os.Remove(filepath.Join(bin, "bb.zst")); err != nil {
		t.Fatal(err)
	}
	out, err := call(bin, "ls")
	if want := filepath.Join(bin, "bb") + ": there is no bb.zst to unpack"; err == nil || out != want {
		t.Errorf("ls = %q, %v, want %q", out, err, want)
	}
}
