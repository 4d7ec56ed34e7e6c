package supervisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"tench/internal/lab"
)

// TestMendSuperblock tears the super block in the middle, both ways round, as
// e2fsprogs write it.
func TestMendSuperblock(t *testing.T) {
	lab.Require(t, "mke2fs", "tune2fs", "e2fsck")
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 16<<20); err != nil {
		t.Fatal(err)
	}
	lab.Run(t, "", "mke2fs", "-q", "-t", "ext4", "-O", "metadata_csum,64bit", file)
	read := func() []byte {
		t.Helper()
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	older := read()
	lab.Run(t, "", "tune2fs", "-C", "7", "-T", time.Unix(1764028800, 0).UTC().Format("20060102"), file)
	newer := read()
	for name, halves := range map[string][2][]byte{"the first half is new": {newer, older}, "the second half is new": {older, newer}} {
		torn := append([]byte(nil), older...)
		copy(torn[superAt:], halves[0][superAt:superAt+superCsumPart])
		copy(torn[superAt+superCsumPart:], halves[1][superAt+superCsumPart:superAt+superSize])
		if err := os.WriteFile(file, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := exec.Command("e2fsck", "-f", "-n", file).Run(); err == nil {
			t.Fatalf("%s: e2fsck does not mind: the test tears nothing", name)
		}
		if mended, err := MendSuperblock(file); !mended || err != nil {
			t.Errorf("%s: MendSuperblock = %v, %v; want it mended", name, mended, err)
		}
		if out, err := exec.Command("e2fsck", "-f", "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: e2fsck after it was mended: %v\n%s", name, err, out)
		}
		if mended, err := MendSuperblock(file); mended || err != nil {
			t.Errorf("%s: the second time: %v, %v; want nothing to do", name, mended, err)
		}
	}
	// What is no ext4 is left as it is.
	for name, data := range map[string][]byte{"zeros": make([]byte, 4096), "too short": []byte("x")} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if mended, _ := MendSuperblock(file); mended {
			t.Errorf("%s were mended", name)
		}
		if string(read()) != string(data) {
			t.Errorf("%s were changed", name)
		}
	}
	if _, err := MendSuperblock(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error for no device")
	}
}
