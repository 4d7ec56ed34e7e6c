package door

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"tench/internal/lab"
)

// All threads that the door has are behind the network loop, and not only the one
// that asked for it.
func TestPoliteness(t *testing.T) {
	const child = "DOOR_TEST_POLITENESS"
	if os.Getenv(child) == "" {
		// The kernel gives 20 less the nice value.
		if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); os.Geteuid() != 0 && (err != nil || 20-raw > politeness) {
			lab.Lack(t, fmt.Errorf("the tests have the nice value %d: none is lower without privileges", 20-raw))
		}
		// In a process of its own: the rest of the tests is in a hurry.
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestPoliteness$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=yes")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	var running sync.WaitGroup
	end := make(chan struct{})
	defer close(end)
	for range 4 {
		running.Add(1)
		go func() {
			runtime.LockOSThread()
			running.Done()
			<-end
		}()
	}
	running.Wait()
	must(t, lowerPriority())
	stats, err := filepath.Glob("/proc/self/task/*/stat")
	must(t, err)
	if len(stats) < 5 {
		t.Errorf("there are %d threads", len(stats))
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a thread that ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if nice := strings.Fields(rest)[16]; nice != strconv.Itoa(politeness) { // proc(5): the 19th field
			t.Errorf("%s: the nice value is %s", path, nice)
		}
	}
}
