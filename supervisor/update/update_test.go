package update

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// store returns a Store with one generation for each text.
func store(t *testing.T, texts ...string) Store {
	t.Helper()
	s := Store{Dir: filepath.Join(t.TempDir(), "config")}
	for _, text := range texts {
		add(t, s, text)
	}
	return s
}

func add(t *testing.T, s Store, text string) int {
	t.Helper()
	n, err := s.Add([]byte(text), About{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func wantCurrent(t *testing.T, s Store, n int, text string) {
	t.Helper()
	g, err := s.Current()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Generation{n, []byte(text)}, g); diff != "" {
		t.Errorf("Current (-want +got):\n%s", diff)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAddKeepsTheLastTen(t *testing.T) {
	s := store(t)
	if _, err := s.Current(); !errors.Is(err, ErrNone) {
		t.Errorf("Current of a new store: %v; want ErrNone", err)
	}
	for i := range 13 {
		n := add(t, s, fmt.Sprint("text ", i+1))
		if n != i+1 {
			t.Fatalf("Add returned %d; want %d", n, i+1)
		}
		wantCurrent(t, s, n, fmt.Sprint("text ", n))
	}
	got, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 11 {
		t.Errorf("%v left in the directory; want ten generations and current", entries)
	}
}

func TestNumbersAreNotReused(t *testing.T) {
	s := store(t, "one", "two")
	if err := os.RemoveAll(filepath.Join(s.Dir, "2")); err != nil {
		t.Fatal(err)
	}
	if n := add(t, s, "three"); n != 3 {
		t.Errorf("Add = %d; want 3, because 2 was used", n)
	}
}

// A power cut after any number of Add's steps leaves a whole generation
// current, and the next Add works.
func TestPowerCut(t *testing.T) {
	const steps = 11
	for cut := 0; cut <= steps; cut++ {
		t.Run(fmt.Sprintf("after %d steps", cut), func(t *testing.T) {
			s := store(t, "old")
			add := append(s.storeSteps(2, []byte("new"), About{}), s.currentSteps(2)...)
			if len(add) != steps {
				t.Fatalf("Add has %d steps; want %d", len(add), steps)
			}
			for _, step := range add[:cut] {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			if cut < 10 {
				wantCurrent(t, s, 1, "old")
			} else {
				wantCurrent(t, s, 2, "new")
			}
			n, err := s.Add([]byte("next"), About{})
			if err != nil {
				t.Fatal(err)
			}
			wantCurrent(t, s, n, "next")
			if left, _ := filepath.Glob(filepath.Join(s.Dir, ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A cut in the middle of a write leaves half a file in the new directory.
func TestHalfWrittenGenerationIsIgnored(t *testing.T) {
	s := store(t, "old")
	if err := os.Mkdir(filepath.Join(s.Dir, ".new-2"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(s.Dir, ".new-2", fileName), "host")
	write(t, filepath.Join(s.Dir, ".current123"), "")
	wantCurrent(t, s, 1, "old")
	add(t, s, "new")
	wantCurrent(t, s, 2, "new")
}

func TestLoad(t *testing.T) {
	accept := func(name string, data []byte) error {
		if bytes.HasPrefix(data, []byte("bad")) {
			return fmt.Errorf("%s:1: bad", name)
		}
		return nil
	}
	for _, tc := range []struct {
		name    string
		texts   []string
		damage  func(s Store)
		want    int
		problem string // part of the problem; empty for none
		err     string // part of the error; empty for none
	}{
		{name: "nothing stored", err: ErrNone.Error()},
		{name: "current is good", texts: []string{"a", "b"}, want: 2},
		{name: "current is bad", texts: []string{"a", "b", "bad", "bad too"}, want: 2, problem: "config/4/router.toml:1: bad"},
		{name: "all are bad", texts: []string{"bad", "bad"}, problem: "config/2/", err: "none of 2 generations"},
		{name: "current names one that is gone", texts: []string{"a", "b"}, want: 1, problem: "generation 2",
			damage: func(s Store) { os.RemoveAll(filepath.Join(s.Dir, "2")) }},
		{name: "current is garbage", texts: []string{"a", "b"}, want: 2, problem: "not the number",
			damage: func(s Store) { write(t, filepath.Join(s.Dir, currentName), "\x00\x00") }},
		{name: "current is missing", texts: []string{"a", "b"}, want: 2, problem: "current",
			damage: func(s Store) { os.Remove(filepath.Join(s.Dir, currentName)) }},
		{name: "a newer one was never made current", texts: []string{"a", "bad", "b"}, want: 1, problem: "config/2/",
			damage: func(s Store) { write(t, filepath.Join(s.Dir, currentName), "2\n") }},
		{name: "the file is a directory", texts: []string{"a", "b"}, want: 1, problem: "is not a file",
			damage: func(s Store) {
				os.Remove(filepath.Join(s.Dir, "2", fileName))
				os.Mkdir(filepath.Join(s.Dir, "2", fileName), 0o755)
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := store(t, tc.texts...)
			if tc.damage != nil {
				tc.damage(s)
			}
			g, problem, err := s.Load(accept)
			if g.Number != tc.want {
				t.Errorf("Load chose generation %d; want %d", g.Number, tc.want)
			}
			check(t, "problem", problem, tc.problem)
			check(t, "error", err, tc.err)
		})
	}
}

func check(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s %q; want none", what, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s %v; want %q in it", what, err, want)
	}
}

func TestAddErrors(t *testing.T) {
	s := store(t, "old")
	if _, err := s.Add(make([]byte, MaxSize+1), About{}); err == nil {
		t.Error("Add took more than MaxSize")
	}
	wantCurrent(t, s, 1, "old")

	blocked := Store{Dir: filepath.Join(t.TempDir(), "file", "config")}
	write(t, filepath.Dir(blocked.Dir), "")
	if _, err := blocked.Add([]byte("x"), About{}); err == nil {
		t.Error("Add worked below a file")
	}
}
