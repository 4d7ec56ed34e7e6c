package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"tench/boards"
	"tench/release"
)

func TestRebuildBelievesOnlyDownloads(t *testing.T) {
	tr := tree{Root: "/checkout", Cache: "/cache", Mirrors: []string{"/mirror"}}
	o := rebuild{offline: true}.options(tr, "/scratch")
	if o.Cache != "/cache" || o.Anew != "/scratch/cache" || o.Out != "/scratch/out" || !o.Strict || !o.Offline || o.Root != "/checkout" {
		t.Errorf("options = %+v", o)
	}
}

func TestRebuildFindsWhatWasPublished(t *testing.T) {
	dir := t.TempDir()
	put := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b := boards.Board{Name: "b"}
	type published struct{ Image, Manifest string }
	for name, tc := range map[string]struct {
		against string
		want    published
	}{
		"image":   {put("x.img"), published{filepath.Join(dir, "x.img"), ""}},
		"release": {filepath.Join(dir, "release"), published{put("release/tench-b.img.zst"), put("release/tench-b.json")}},
		"build":   {"", published{put("out/b/tench-b.img"), put("out/b/manifest.json")}},
	} {
		image, manifest, err := rebuild{against: tc.against}.published(filepath.Join(dir, "out", b.Name), b)
		if diff := cmp.Diff(tc.want, published{image, manifest}); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestRebuildNamesWhatDiffers(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, at int) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, emptyImage(at), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inputs := func(hash string) release.Manifest {
		return release.Manifest{Board: "b", Inputs: []release.Used{{Kind: "source", Name: "linux source", Version: "6.12." + hash, SHA256: hash}}}
	}
	manifest := filepath.Join(dir, "manifest.json")
	if err := inputs("1").Write(manifest); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		s    sides
		out  []string
		want string // in the error
	}{
		"equal": {sides{image: put("a", 100), again: put("b", 100), manifest: manifest, built: inputs("2")},
			[]string{"a is what these sources give, byte for byte"}, ""},
		"differs by itself": {sides{image: put("c", 100), again: put("d", 200), manifest: manifest, built: inputs("1")},
			[]string{"c (first) is not what was built again (second)", "  loader: first different at byte 100 of the image"},
			"verify: 1 difference\nhint: --scratch DIR keeps what was built again"},
		"of other inputs": {sides{image: put("e", 100), again: put("f", 200), manifest: manifest, built: inputs("2")},
			[]string{"e (first) is not what was built again (second)", "  loader: first different at byte 100 of the image",
				"  input source: linux source: 6.12.1 -> 6.12.2"},
			"verify: 1 difference\nhint: the inputs differ: "},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			c := &cobra.Command{}
			c.SetOut(&out)
			c.SetContext(t.Context())
			err := rebuild{}.compare(c, tc.s)
			want := strings.Join(tc.out, "\n") + "\n"
			if diff := cmp.Diff(want, strings.ReplaceAll(out.String(), dir+"/", "")); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("compare = %v, want %s", err, tc.want)
			}
		})
	}
}
