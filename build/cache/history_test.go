package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExplain(t *testing.T) {
	old := []Input{{"board", "1"}, {"fragment net.config", "2"}, {"compiler", "3"}}
	for name, tc := range map[string]struct {
		old, new []Input
		want     []string
	}{
		"never built":     {nil, old, []string{"never built before"}},
		"the same":        {old, []Input{old[2], old[0], old[1]}, nil},
		"changed":         {old, []Input{old[0], {"fragment net.config", "x"}, old[2]}, []string{"fragment net.config changed"}},
		"new":             {old, append([]Input{{"patch 0001", "4"}}, old...), []string{"new input patch 0001"}},
		"gone":            {old, old[1:], []string{"board is no longer an input"}},
		"all of it":       {old, []Input{{"board", "x"}, old[2], {"a", "b"}}, []string{"board changed", "new input a", "fragment net.config is no longer an input"}},
		"version of step": {Step{Name: "disk", Version: 1}.inputs(), Step{Name: "disk", Version: 2}.inputs(), []string{"version of step disk changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Explain(tc.old, tc.new)); diff != "" {
				t.Errorf("Explain (-want +got)\n%s", diff)
			}
		})
	}
}

func TestHistory(t *testing.T) {
	s := open(t)
	if h, err := s.History("qemu-amd64"); h != nil || err != nil {
		t.Errorf("History of nothing = %v, %v", h, err)
	}
	day := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	var want []Record
	for i := range remembered + 2 {
		p := Product{Step: "kernel", Key: fmt.Sprint(i), Hit: i%2 == 1, Took: time.Second, Inputs: []Input{{"a", "1"}}}
		build := []Record{p.Record(day.Add(time.Duration(i) * time.Hour))}
		if i == 0 {
			build = append(build, Record{Step: "old", Key: "k", When: day})
			want = append(want, build[1])
		}
		if i >= 2 {
			want = append(want, build[0])
		}
		if err := s.SaveHistory("qemu-amd64", build); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.History("qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("History (-want +got)\n%s", diff)
	}
	if err := os.WriteFile(s.historyPath("qemu-amd64"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.History("qemu-amd64"); err == nil {
		t.Error("a damaged history is read without an error")
	}
	if err := s.SaveHistory("qemu-amd64", want[:1]); err != nil {
		t.Errorf("a damaged history stops a build: %v", err)
	}
}

func TestHashCheckout(t *testing.T) {
	base := func(dir string) error {
		for _, sub := range []string{"a", "b"} {
			if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
				return err
			}
		}
		if err := os.Symlink("a/file", filepath.Join(dir, "link")); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "a", "file"), []byte("x"), 0o644)
	}
	hash := func(change func(dir string) error) string {
		dir := t.TempDir()
		if err := base(dir); err != nil {
			t.Fatal(err)
		}
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		sum, err := HashCheckout(dir)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	want := hash(func(string) error { return nil })
	past := time.Unix(1, 0)
	for name, change := range map[string]func(dir string) error{
		"time":        func(dir string) error { return os.Chtimes(filepath.Join(dir, "a", "file"), past, past) },
		"umask":       func(dir string) error { return os.Chmod(filepath.Join(dir, "a", "file"), 0o600) },
		"folder mode": func(dir string) error { return os.Chmod(filepath.Join(dir, "b"), 0o700) },
		"folder gone": func(dir string) error { return os.Remove(filepath.Join(dir, "b")) },
	} {
		if hash(change) != want {
			t.Errorf("another %s changes the hash, and git does not keep it", name)
		}
	}
	for name, change := range map[string]func(dir string) error{
		"content": func(dir string) error { return os.WriteFile(filepath.Join(dir, "a", "file"), []byte("y"), 0o644) },
		"mode":    func(dir string) error { return os.Chmod(filepath.Join(dir, "a", "file"), 0o755) },
		"name": func(dir string) error {
			return os.Rename(filepath.Join(dir, "a", "file"), filepath.Join(dir, "a", "fil"))
		},
		"moved": func(dir string) error {
			return os.Rename(filepath.Join(dir, "a", "file"), filepath.Join(dir, "b", "file"))
		},
		"link": func(dir string) error {
			link := filepath.Join(dir, "link")
			if err := os.Remove(link); err != nil {
				return err
			}
			return os.Symlink("b/file", link)
		},
		"link made a file": func(dir string) error {
			link := filepath.Join(dir, "link")
			if err := os.Remove(link); err != nil {
				return err
			}
			return os.WriteFile(link, []byte("a/file"), 0o777)
		},
	} {
		if hash(change) == want {
			t.Errorf("another %s does not change the hash", name)
		}
	}
}

// What another process has just taken stays, though it was listed as old.
func TestPruneLooksAgain(t *testing.T) {
	s := open(t)
	clock := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	s.now = func() time.Time { return clock }
	runs := 0
	step := Step{Name: "kernel", Version: 1, Build: writeOut(&runs, "x")}
	mustRun(t, s, step)
	clock = clock.Add(48 * time.Hour)
	listed, err := s.byUse("steps")
	if err != nil {
		t.Fatal(err)
	}
	product := mustRun(t, s, step)
	if errs := s.drop(listed["kernel"]); len(errs) > 0 || runs != 1 {
		t.Fatalf("drop = %v after %d builds, want a hit", errs, runs)
	}
	if _, err := os.Stat(product.Dir); err != nil {
		t.Error(err)
	}
}

func TestPrune(t *testing.T) {
	s := open(t)
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	clock := start
	s.now = func() time.Time { return clock }
	runs := 0
	build := func(version int) Product {
		return mustRun(t, s, Step{Name: "kernel", Version: version, Build: writeOut(&runs, "x")})
	}
	for v := range 6 { // one each day
		clock = start.Add(time.Duration(v) * 24 * time.Hour)
		build(v)
	}
	build(0) // used today
	scratch := func(key string, used time.Time) string {
		dir := s.workDir("kernel", key)
		if err := os.MkdirAll(filepath.Join(dir, "deep"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(dir, "deep"), 0o555); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, used, used); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	day := 24 * time.Hour
	oldWork, newWork, busyWork := scratch("old", clock.Add(-2*day)), scratch("new", clock.Add(-day/2)), scratch("busy", clock.Add(-2*day))
	unlock, err := s.lock(t.Context(), "kernel", "busy", func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := s.Prune(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for v := range 6 {
		if _, err := os.Stat(s.productDir("kernel", Step{Name: "kernel", Version: v}.Key())); err == nil {
			got = append(got, fmt.Sprint(v))
		}
	}
	sort.Strings(got)
	if diff := cmp.Diff([]string{"0", "4", "5"}, got); diff != "" {
		t.Errorf("products after Prune (-want +got)\n%s", diff)
	}
	for path, want := range map[string]bool{oldWork: false, newWork: true, busyWork: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("after Prune %s is there: %v, want %v", path, err == nil, want)
		}
	}
}
