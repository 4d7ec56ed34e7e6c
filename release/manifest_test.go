package release

import (
	"os"
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
