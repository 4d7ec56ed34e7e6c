package procgroup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCancelStopsGrandchildren interrupts a shell whose children ignore
// SIGTERM; none may be left.
func TestCancelStopsGrandchildren(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	script := fmt.Sprintf(`trap '' TERM; for i in 1 2; do sh -c 'trap "" TERM; echo $$ >> %s; while :; do sleep 1; done' & done; wait`, pids)
	cmd := Command(ctx, "sh", "-c", script)
	cmd.WaitDelay = 100 * time.Millisecond
	done := make(chan error)
	go func() { done <- Run(ctx, cmd) }()
	list := waitFor(t, pids, 2)
	cancel()
	if err := <-done; err == nil {
		t.Error("Run of a cancelled command = nil")
	}
	for _, pid := range list {
		waitGone(t, pid)
	}
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !gone(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// gone reports whether a process has ended, be it that nobody has waited for it.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func waitFor(t *testing.T, path string, n int) []int {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		data, _ := os.ReadFile(path)
		fields := strings.Fields(string(data))
		if len(fields) < n {
			continue
		}
		var pids []int
		for _, f := range fields {
			pid, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return pids
	}
	t.Fatalf("%s does not name %d processes", path, n)
	return nil
}

func TestRun(t *testing.T) {
	if err := Run(t.Context(), Command(t.Context(), "true")); err != nil {
		t.Error(err)
	}
	if err := Run(t.Context(), Command(t.Context(), "false")); err == nil {
		t.Error("Run of false = nil")
	}
}

// TestKilledParent kills a process that runs a program: the program gets
// SIGTERM.
func TestKilledParent(t *testing.T) {
	if file := os.Getenv("TENCH_TEST_PIDS"); file != "" {
		script := `trap 'exit 0' TERM; echo $$ > "$0"; while :; do sleep 0.1; done`
		t.Fatal(Run(t.Context(), Command(t.Context(), "sh", "-c", script, file)))
	}
	pids := filepath.Join(t.TempDir(), "pids")
	parent := exec.Command(os.Args[0], "-test.run=^TestKilledParent$")
	parent.Env = append(os.Environ(), "TENCH_TEST_PIDS="+pids)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := waitFor(t, pids, 1)[0]
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed
	waitGone(t, pid)
}
