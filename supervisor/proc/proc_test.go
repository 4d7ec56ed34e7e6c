package proc

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests start this test program again, and have the children of its
// children handed to it, as PID 1 has: the Reaper waits for all of them.
func TestMain(m *testing.M) {
	if role := os.Getenv("PROC_TEST_ROLE"); role != "" {
		child(role)
		return
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become subreaper:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// child is what a started process does.
func child(role string) {
	switch role {
	case "talk":
		fmt.Println("out")
		fmt.Fprintln(os.Stderr, "err")
		fmt.Fprintln(os.NewFile(3, "report"), "cycle")
		os.Exit(3)
	case "long":
		fmt.Fprintln(os.NewFile(3, "report"), longReport)
		time.Sleep(time.Hour) // not select {}, which the runtime calls a deadlock
	case "orphan":
		// Starts a process that outlives this one, and tells its pid.
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			panic(err)
		}
		p, err := os.StartProcess("/proc/self/exe", []string{"grandchild"}, &os.ProcAttr{
			Env: []string{"PROC_TEST_ROLE=linger"}, Files: []*os.File{null, null, null}})
		if err != nil {
			panic(err)
		}
		fmt.Println("grandchild", p.Pid)
		time.Sleep(time.Hour) // not select {}, which the runtime calls a deadlock
	case "repeat":
		line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Print("heard ", line)
	case "linger":
		time.Sleep(time.Hour) // not select {}, which the runtime calls a deadlock
	case "stubborn":
		signal.Ignore(unix.SIGTERM)
		fmt.Println("deaf")
		time.Sleep(time.Hour) // not select {}, which the runtime calls a deadlock
	}
}

// run keeps the role running and returns the lines it causes.
func run(t *testing.T, role string) (c *Child, lines func() string, wait func(line string), stop func()) {
	t.Helper()
	reaper := NewReaper()
	ctx, cancel := context.WithCancel(context.Background())
	go reaper.Run(ctx)
	var mu sync.Mutex
	var all []string
	news := make(chan struct{}, 10000)
	note := func(from string) func(string) {
		return func(line string) {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, from+line)
			news <- struct{}{}
		}
	}
	spec := Spec{
		Name: "child", Path: "/proc/self/exe", Argv: []string{"child"}, Env: []string{"PROC_TEST_ROLE=" + role},
		Log: note("log: "), Report: note("report: "), Start: func() { note("")("started") },
		Logf: func(format string, args ...any) { note("")(fmt.Sprintf(format, args...)) },
	}
	c = New(spec, reaper)
	childCtx, stopChild := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { c.Run(childCtx); close(done) }()
	lines = func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(all, "\n")
	}
	wait = func(line string) {
		t.Helper()
		limit := time.After(20 * time.Second)
		for !strings.Contains(lines(), line) {
			select {
			case <-news:
			case <-limit:
				t.Fatalf("%q never came; got:\n%s", line, lines())
			}
		}
	}
	stop = func() {
		t.Helper()
		stopChild()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatal("the child does not end")
		}
	}
	t.Cleanup(func() { stopChild(); <-done; cancel() })
	return c, lines, wait, stop
}

func TestOutputReportAndRestart(t *testing.T) {
	_, lines, wait, stop := run(t, "talk")
	wait("child: ended with status 3\nstarted") // the first restart, at once
	stop()
	first, _, _ := strings.Cut(lines(), "child: ended")
	for _, want := range []string{"log: out", "log: err", "report: cycle"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q did not come before the line about the end:\n%s", want, lines())
		}
	}
}

// longReport is where an SSH door of 500 VLANs listens.
var longReport = "door 22" + strings.Repeat(" guest-lan.1234/1234", 500)

func TestLongReportIsWhole(t *testing.T) {
	_, _, wait, _ := run(t, "long")
	wait("report: " + longReport)
}

func TestKilledChildIsBackWithinASecond(t *testing.T) {
	c, _, wait, stop := run(t, "linger")
	wait("started")
	began := time.Now()
	c.Kill("the test says so")
	wait("child: killed: the test says so\nchild: ended by signal: killed\nstarted")
	if took := time.Since(began); took > time.Second {
		t.Errorf("it was back after %v; want less than a second", took)
	}
	stop()
}

func TestStopEndsTheWholeGroupAndReapsOrphans(t *testing.T) {
	_, lines, wait, stop := run(t, "orphan")
	wait("log: grandchild ")
	_, rest, _ := strings.Cut(lines(), "log: grandchild ")
	var pid int
	fmt.Sscan(rest, &pid)
	if err := unix.Kill(pid, 0); err != nil {
		t.Fatalf("the grandchild %d does not run: %v", pid, err)
	}
	stop()
	// Gone from the process table, not only dead: the Reaper took the orphan.
	for end := time.Now().Add(10 * time.Second); unix.Kill(pid, 0) == nil; {
		if time.Now().After(end) {
			t.Fatalf("the grandchild %d is still there", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestStubbornChildIsKilled(t *testing.T) {
	_, lines, wait, stop := run(t, "stubborn")
	wait("log: deaf")
	stop()
	if !strings.Contains(lines(), "child: killed: it did not stop when asked") {
		t.Errorf("the log does not tell:\n%s", lines())
	}
}

func TestProgramThatCannotBeStarted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan string, 1)
	c := New(Spec{Name: "x", Path: "/nonexistent", Argv: []string{"x"}, Log: func(string) {},
		Logf: func(format string, args ...any) {
			select {
			case told <- fmt.Sprintf(format, args...):
			default:
			}
		}}, NewReaper())
	done := make(chan struct{})
	go func() { c.Run(ctx); close(done) }()
	if got, want := <-told, "x: start: /nonexistent: no such file or directory"; got != want {
		t.Errorf("log %q; want %q", got, want)
	}
	cancel()
	<-done
}

// One after the other reads the same standard input.
func TestStdinOutlivesAChild(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	reaper := NewReaper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go reaper.Run(ctx)
	lines, starts := make(chan string, 10), make(chan struct{}, 10)
	c := New(Spec{Name: "child", Path: "/proc/self/exe", Argv: []string{"child"}, Env: []string{"PROC_TEST_ROLE=repeat"}, Stdin: r,
		Log: func(line string) { lines <- line }, Start: func() { starts <- struct{}{} }, Logf: func(string, ...any) {}}, reaper)
	childCtx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { c.Run(childCtx); close(done) }()
	for _, word := range []string{"one", "two"} {
		<-starts
		fmt.Fprintln(w, word)
		if got := <-lines; got != "heard "+word {
			t.Errorf("a child says %q, want heard %s", got, word)
		}
	}
	stop()
	<-done
}

// A child that is to run once ends with its process, also where that cannot be
// started.
func TestOnce(t *testing.T) {
	for name, path := range map[string]string{"it ends": "/proc/self/exe", "it cannot be started": "/nonexistent"} {
		t.Run(name, func(t *testing.T) {
			reaper := NewReaper()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go reaper.Run(ctx)
			var said []string
			New(Spec{
				Name: "child", Path: path, Argv: []string{"child"}, Env: []string{"PROC_TEST_ROLE=talk"}, Once: true,
				Log: func(string) {}, Report: func(string) {},
				Logf: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) },
			}, reaper).Run(ctx) // returns
			if len(said) != 1 {
				t.Errorf("the log has %q, want one line", said)
			}
		})
	}
}
