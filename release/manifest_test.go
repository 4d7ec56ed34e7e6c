package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testManifest() Manifest {
	return Manifest{
		Board: "qemu-amd64", Release: "2026.11", Epoch: 1795219200,
		Inputs: []Used{
			{Name: "0001-a.patch", Kind: "patch", SHA256: strings.Repeat("1", 64), Size: 3},
			{Name: "linux source", Kind: "source", Version: "6.12.117", SHA256: sum1, Size: 153476148, From: "mirror", Followed: true},
		},
		Products: []Product{{"a.img", 10, sum1}, {"b.img", 20, sum1}},
		Steps:    []Ran{{"kernel", "k", true}, {"disk", "d", false}},
	}
}

func TestManifestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.json")
	m := testManifest()
	if err := m.Write(path); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(m.Inputs)
	slices.Reverse(m.Products)
	if err := m.Write(path); err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Error("the order of inputs and products changes the file")
	}
	got, err := ReadManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	want := testManifest()
	want.Schema = Schema
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ReadManifest (-want +got)\n%s", diff)
	}
}

func TestReadManifestErrors(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"not JSON":      {"{", "unexpected end of JSON input"},
		"other schema":  {`{"schema": 99}`, "has schema 99, this tench reads schema 1\nhint: "},
		"unknown field": {`{"schema": 1, "bord": "x"}`, `unknown field "bord"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "manifest.json")
			if err := os.WriteFile(path, []byte(tc.text), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadManifest(path); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ReadManifest = %v, want %q", err, tc.want)
			}
		})
	}
}

// sha256sum is the independent reader of what WriteSums writes.
func TestSumsAreReadBySha256sum(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.img"), []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "SHA256")
	sum := "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	if err := WriteSums(path, []Product{{File: "a.img", SHA256: sum}}); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		cmd := exec.Command("sha256sum", "--check", "--strict", "SHA256")
		cmd.Dir = dir
		return cmd.Run()
	}
	if err := check(); err != nil {
		t.Errorf("sha256sum --check = %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.img"), []byte("hallo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if check() == nil {
		t.Error("sha256sum --check accepts another content")
	}
	if err := WriteSums(path, []Product{{File: "a\n.img", SHA256: sum}}); err == nil {
		t.Error("WriteSums accepts a name with a line end")
	}
}
