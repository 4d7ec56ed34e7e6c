package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sudo tench pxe serve --state /etc shall not give /etc/shadow to anybody.
func TestStateFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"52-54-00-00-00-01.json", "52-54-00-00-00-01.toml", "control", "lock", "shadow", "folder/lock"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{dir}
	for _, name := range []string{"52-54-00-00-00-01.json", "52-54-00-00-00-01.toml", "control", "lock"} {
		want = append(want, filepath.Join(dir, name))
	}
	got, err := stateFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stateFiles (-want +got)\n%s", diff)
	}
}
