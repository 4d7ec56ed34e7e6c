package build

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tench/build/cache"
)

// What a killed run left is removed by the next; what a process works in is not.
func TestAnewFolderOfAKilledRun(t *testing.T) {
	dir := t.TempDir()
	killed := filepath.Join(dir, "rebuild-1")
	if err := os.MkdirAll(filepath.Join(killed, "read-only", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(killed, "read-only"), 0o500); err != nil {
		t.Fatal(err)
	}
	folder := func() (string, func()) {
		t.Helper()
		made, done, err := AnewFolder(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		return made, done
	}
	one, doneOne := folder()
	two, doneTwo := folder()
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) != 2 || one == two {
		t.Errorf("with two at work the cache has %q, %v, want their two folders", left, err)
	}
	doneOne()
	doneTwo()
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || left != nil {
		t.Errorf("afterwards the cache has %q, %v", left, err)
	}
}

// A build anew must believe no product of an earlier one, and leave none there.
func TestAnewBelievesNoProduct(t *testing.T) {
	usual, _ := newTestPlan(t)
	o := usual.o
	o.Anew = filepath.Join(t.TempDir(), "anew")
	anew, err := newPlan(usual.b, o)
	if err != nil {
		t.Fatal(err)
	}
	step := func(text string) cache.Step {
		return cache.Step{Name: "kernel", Build: func(_ context.Context, w cache.Work) error {
			return os.WriteFile(filepath.Join(w.Out, "vmlinuz"), []byte(text), 0o644)
		}}
	}
	for _, tc := range []struct {
		plan *plan
		text string
		want string
		hit  bool
	}{
		{usual, "of the first build", "of the first build", false},
		{anew, "of the build anew", "of the build anew", false},
		{usual, "never made", "of the first build", true},
	} {
		p, err := tc.plan.run(context.Background(), step(tc.text), "")
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(p.Path("vmlinuz"))
		if string(got) != tc.want || err != nil || p.Hit != tc.hit {
			t.Errorf("product = %q, %v, hit %v; want %q, hit %v", got, err, p.Hit, tc.want, tc.hit)
		}
	}
	log, err := anew.logFile("x")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, path := range []string{log.Name(), anew.o.goCache(), anew.o.products()} {
		if !strings.HasPrefix(path, o.Anew) {
			t.Errorf("a build anew uses %s, outside of %s", path, o.Anew)
		}
	}
	if usual.o.goCache() != "" || usual.o.products() != o.Cache {
		t.Errorf("a usual build uses %q and %q", usual.o.goCache(), usual.o.products())
	}
}
