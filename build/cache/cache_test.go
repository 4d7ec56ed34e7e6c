package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writeOut is a Build that writes one file and counts its runs.
func writeOut(runs *int, text string) func(context.Context, Work) error {
	return func(_ context.Context, w Work) error {
		*runs++
		fmt.Fprintf(w.Log, "building %s\n", text)
		if err := os.Mkdir(filepath.Join(w.Out, "sub"), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("sub/file", filepath.Join(w.Out, "link")); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(w.Out, "sub", "file"), []byte(text), 0o755)
	}
}

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustRun(t *testing.T, s *Store, step Step) Product {
	t.Helper()
	p, err := s.Run(context.Background(), step, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRunOnceForTheSameInputs(t *testing.T) {
	s := open(t)
	runs := 0
	step := Step{Name: "kernel", Version: 1, Inputs: []Input{{"b", "2"}, {"a", "1"}}, Build: writeOut(&runs, "hello")}
	first := mustRun(t, s, step)
	step.Inputs = []Input{{"a", "1"}, {"b", "2"}} // their order does not matter
	second := mustRun(t, s, step)
	if runs != 1 || first.Hit || !second.Hit {
		t.Errorf("runs = %d, hits = %v, %v; want 1, false, true", runs, first.Hit, second.Hit)
	}
	want := []ProductFile{
		{"link", HashBytes([]byte("sub/file")), 8, fs.ModeSymlink | 0o777},
		{"sub/file", HashBytes([]byte("hello")), 5, 0o755},
	}
	for _, p := range []Product{first, second} {
		if diff := cmp.Diff(want, p.Files); diff != "" {
			t.Errorf("files (-want +got)\n%s", diff)
		}
		if p.Size != 13 {
			t.Errorf("size = %d, want 13", p.Size)
		}
		if log, err := os.ReadFile(p.Log); err != nil || string(log) != "building hello\n" {
			t.Errorf("log = %q, %v", log, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(s.dir, "work", "kernel", "*"))
	if err != nil || len(left) != 1 || filepath.Ext(left[0]) != ".lock" {
		t.Errorf("after the build work has %v, want one lock", left)
	}
}

// The time of a product is that of the programs which made it, and stays with it.
func TestCPUTimeOfPrograms(t *testing.T) {
	s := open(t)
	step := Step{Name: "kernel", Build: func(ctx context.Context, w Work) error {
		loop := "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done > out"
		cmd := exec.CommandContext(ctx, "sh", "-c", loop)
		cmd.Dir = w.Out
		return cmd.Run()
	}}
	first, second := mustRun(t, s, step), mustRun(t, s, step)
	if first.CPU < 10*time.Millisecond || second.CPU != first.CPU {
		t.Errorf("CPU = %v when built, %v as a hit; want what 100,000 turns of a loop take, both times", first.CPU, second.CPU)
	}
}

func TestKeyChangesWithEachInput(t *testing.T) {
	base := Step{Name: "kernel", Version: 1, Inputs: []Input{{"a", "1"}, {"b", "2"}}}
	seen := map[string]string{base.Key(): "base"}
	for name, step := range map[string]Step{
		"name":              {Name: "kernels", Version: 1, Inputs: base.Inputs},
		"version":           {Name: "kernel", Version: 2, Inputs: base.Inputs},
		"input's hash":      {Name: "kernel", Version: 1, Inputs: []Input{{"a", "1"}, {"b", "3"}}},
		"input's name":      {Name: "kernel", Version: 1, Inputs: []Input{{"a", "1"}, {"c", "2"}}},
		"one less":          {Name: "kernel", Version: 1, Inputs: []Input{{"a", "1"}}},
		"one more":          {Name: "kernel", Version: 1, Inputs: []Input{{"a", "1"}, {"b", "2"}, {"c", "3"}}},
		"hashes exchanged":  {Name: "kernel", Version: 1, Inputs: []Input{{"a", "2"}, {"b", "1"}}},
		"name takes a hash": {Name: "kernel", Version: 1, Inputs: []Input{{"a 1", ""}, {"b", "2"}}},
	} {
		if other, taken := seen[step.Key()]; taken {
			t.Errorf("a step with another %s has the key of %s", name, other)
		}
		seen[step.Key()] = name
	}
}

func TestBadStep(t *testing.T) {
	for name, tc := range map[string]struct {
		step Step
		want string
	}{
		"name":      {Step{Name: "../x"}, `../x: "../x" is not a name of a step`},
		"two alike": {Step{Name: "kernel", Inputs: []Input{{"fragment a", "1"}, {"fragment a", "2"}}}, `kernel: two inputs are called "fragment a"`},
		"no hash":   {Step{Name: "kernel", Inputs: []Input{{"fragment a", ""}}}, `kernel: input "fragment a" has no hash`},
		"no files":  {Step{Name: "kernel", Build: func(context.Context, Work) error { return nil }}, "kernel: the step left no files"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t).Run(context.Background(), tc.step, nil)
			if err == nil || err.Error() != tc.want {
				t.Errorf("Run = %v, want %s", err, tc.want)
			}
		})
	}
}

func TestProductAsInput(t *testing.T) {
	s := open(t)
	runs := 0
	a := mustRun(t, s, Step{Name: "a", Version: 1, Build: writeOut(&runs, "same")})
	b := mustRun(t, s, Step{Name: "a", Version: 2, Build: writeOut(&runs, "same")})
	c := mustRun(t, s, Step{Name: "a", Version: 3, Build: writeOut(&runs, "other")})
	if a.Input() != b.Input() {
		t.Error("the same product of another key is another input")
	}
	if a.Input() == c.Input() {
		t.Error("another product is the same input")
	}
}

func TestDamagedProductIsBuiltAgain(t *testing.T) {
	for name, damage := range map[string]func(p Product) error{
		"file gone":   func(p Product) error { return os.Remove(p.Path("sub/file")) },
		"file short":  func(p Product) error { return os.Truncate(p.Path("sub/file"), 2) },
		"mode":        func(p Product) error { return os.Chmod(p.Path("sub/file"), 0o600) },
		"record gone": func(p Product) error { return os.Remove(filepath.Join(p.Dir, "..", "step.json")) },
		"record cut":  func(p Product) error { return os.Truncate(filepath.Join(p.Dir, "..", "step.json"), 20) },
		"record emptied": func(p Product) error {
			return os.WriteFile(filepath.Join(p.Dir, "..", "step.json"), []byte("{}"), 0o644)
		},
		"folder replaced": func(p Product) error { return os.RemoveAll(p.Dir) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			runs := 0
			step := Step{Name: "kernel", Build: writeOut(&runs, "hello")}
			if err := damage(mustRun(t, s, step)); err != nil {
				t.Fatal(err)
			}
			p := mustRun(t, s, step)
			if p.Hit || runs != 2 {
				t.Errorf("hit = %v, runs = %d; want false, 2", p.Hit, runs)
			}
		})
	}
}

func TestFailedStep(t *testing.T) {
	s := open(t)
	fail := true
	step := Step{Name: "kernel", Build: func(_ context.Context, w Work) error {
		for i := range 30 {
			fmt.Fprintf(w.Log, "line %d\n", i)
		}
		if fail {
			return errors.Join(
				os.WriteFile(filepath.Join(w.Out, "half"), []byte("x"), 0o644),
				os.WriteFile(filepath.Join(w.Scratch, "object"), []byte("done"), 0o644),
				errors.New("make: exit status 2"))
		}
		if _, err := os.Stat(filepath.Join(w.Out, "half")); err == nil {
			return errors.New("out is not empty")
		}
		object, err := os.ReadFile(filepath.Join(w.Scratch, "object"))
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(w.Out, "whole"), object, 0o644)
	}}
	_, err := s.Run(context.Background(), step, nil)
	var failed *StepError
	if !errors.As(err, &failed) {
		t.Fatalf("Run = %v, want a StepError", err)
	}
	if err.Error() != "kernel: make: exit status 2" || len(failed.Tail) != 20 || failed.Tail[0] != "line 10" || failed.Tail[19] != "line 29" {
		t.Errorf("error = %q, tail = %q", err, failed.Tail)
	}
	if log, err := os.ReadFile(failed.Log); err != nil || !strings.HasPrefix(string(log), "line 0\n") {
		t.Errorf("the log is not at %s: %v", failed.Log, err)
	}
	fail = false
	if p := mustRun(t, s, step); len(p.Files) != 1 || p.Files[0].SHA256 != HashBytes([]byte("done")) {
		t.Errorf("files = %v, want one made of the scratch that the failed run left", p.Files)
	}
}

func TestCancelledStep(t *testing.T) {
	for name, result := range map[string]error{"tool was killed": errors.New("signal: killed"), "build did not notice": nil} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			ctx, cancel := context.WithCancel(context.Background())
			runs := 0
			step := Step{Name: "kernel", Build: func(ctx context.Context, w Work) error {
				cancel()
				return errors.Join(writeOut(&runs, "x")(ctx, w), result)
			}}
			if _, err := s.Run(ctx, step, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("Run = %v, want context.Canceled", err)
			}
			step.Build = writeOut(&runs, "x")
			if p := mustRun(t, s, step); p.Hit {
				t.Error("the interrupted run left a product")
			}
			if _, err := s.Run(ctx, step, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("Run with an ended context = %v, want context.Canceled", err)
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	step := Step{Name: "kernel", Build: func(_ context.Context, w Work) error {
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString("x")
		return err
	}}
	_, err := open(t).Run(context.Background(), step, nil)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "\nhint: free some space for ") {
		t.Errorf("Run = %v, want ENOSPC with a hint", err)
	}
}

func TestToolOnAFullDisk(t *testing.T) {
	step := Step{Name: "kernel", Build: func(ctx context.Context, w Work) error {
		cmd := exec.CommandContext(ctx, "sh", "-c", "echo 'as: x.o: No space left on device'; exit 2")
		cmd.Stdout = w.Log
		return cmd.Run()
	}}
	_, err := open(t).Run(context.Background(), step, nil)
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "exit status 2") || !strings.Contains(err.Error(), "\nhint: free some space for ") {
		t.Errorf("Run = %v, want exit status and ENOSPC with a hint", err)
	}
}

// TestKilledInTheMiddle runs a step in another process that is killed by a
// signal it cannot handle, and takes up its scratch.
func TestKilledInTheMiddle(t *testing.T) {
	if dir := os.Getenv("TENCH_TEST_KILLED"); dir != "" {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Run(context.Background(), Step{Name: "kernel", Build: func(_ context.Context, w Work) error {
			_ = os.WriteFile(filepath.Join(w.Out, "half"), []byte("x"), 0o644)
			_ = os.WriteFile(filepath.Join(w.Scratch, "object"), []byte("x"), 0o644)
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}}, nil)
		t.Fatalf("this process lives: %v", err)
	}
	s := open(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledInTheMiddle$")
	cmd.Env = append(os.Environ(), "TENCH_TEST_KILLED="+s.dir)
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the other process ended with %v, want SIGKILL", err)
	}
	if products, _ := filepath.Glob(filepath.Join(s.dir, "steps", "*", "*")); products != nil {
		t.Errorf("the killed process left the products %v", products)
	}
	p := mustRun(t, s, Step{Name: "kernel", Build: func(_ context.Context, w Work) error {
		return os.Rename(filepath.Join(w.Scratch, "object"), filepath.Join(w.Out, "object"))
	}})
	if len(p.Files) != 1 || p.Files[0].Name != "object" {
		t.Errorf("files = %v, want object alone", p.Files)
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	s := open(t)
	inBuild, waiting := make(chan struct{}), make(chan struct{})
	runs := 0
	step := Step{Name: "kernel", Build: func(ctx context.Context, w Work) error {
		close(inBuild)
		select {
		case <-waiting: // the other one has met the lock
		case <-time.After(30 * time.Second):
			return errors.New("the other run did not wait")
		}
		return writeOut(&runs, "x")(ctx, w)
	}}
	var wg sync.WaitGroup
	var products [2]Product
	var errs [2]error
	wg.Go(func() { products[0], errs[0] = s.Run(context.Background(), step, nil) })
	<-inBuild
	wg.Go(func() {
		products[1], errs[1] = s.Run(context.Background(), step, func(_, _ int64, unit string) {
			if unit == Waiting {
				close(waiting)
			}
		})
	})
	wg.Wait()
	if errs[0] != nil || errs[1] != nil || runs != 1 || products[0].Hit || !products[1].Hit {
		t.Errorf("errors %v, runs %d, hits %v %v; want none, 1, false, true", errs, runs, products[0].Hit, products[1].Hit)
	}
}

func TestWaitingEndsWithContext(t *testing.T) {
	s := open(t)
	step := Step{Name: "kernel", Inputs: []Input{{"a", "1"}}}
	unlock, err := s.lock(context.Background(), step.Name, step.Key(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(context.Background())
	_, err = s.Run(ctx, step, func(_, _ int64, unit string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want context.Canceled", err)
	}
}
