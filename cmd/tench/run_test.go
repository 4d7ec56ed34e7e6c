package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A second run of the board leaves the disk of the first as it is.
func TestRunTwiceAtOnce(t *testing.T) {
	dir := t.TempDir()
	image, other, run := filepath.Join(dir, "image"), filepath.Join(dir, "other"), filepath.Join(dir, "run")
	for path, text := range map[string]string{image: "first", other: "second"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	disk, err := runDisk(image, run, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{image, other} {
		if _, err := runDisk(again, run, true); !errors.Is(err, errRuns) {
			t.Errorf("runDisk(%s) while the board runs: %v, want %v", filepath.Base(again), err, errRuns)
		}
	}
	if got, err := os.ReadFile(disk); err != nil || string(got) != "first" {
		t.Errorf("the disk holds %q, %v, want what the first run put there", got, err)
	}
}
