package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sudo tench pxe in a home without ~/.local makes that, too, and it is no more root's
// than the rest.
func TestMissingFolders(t *testing.T) {
	home := t.TempDir()
	in := func(parts ...string) string { return filepath.Join(append([]string{home}, parts...)...) }
	state := in(".local", "state", "tench", "pxe")
	want := []string{state, in(".local", "state", "tench"), in(".local", "state"), in(".local")}
	if diff := cmp.Diff(want, missingFolders(state)); diff != "" {
		t.Errorf("missingFolders (-want +got)\n%s", diff)
	}
	if err := makeState(state); err != nil {
		t.Fatal(err)
	}
	if got := missingFolders(state); len(got) > 0 {
		t.Errorf("missingFolders of what is there = %q", got)
	}
	if err := os.WriteFile(in("file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := makeState(in("file", "state")); err == nil || !strings.Contains(err.Error(), "\nhint: --state FOLDER") {
		t.Errorf("makeState below a file = %v, want an error with a hint", err)
	}
}

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
