package labs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tench/internal/lab"
)

// TestFaultsCompilerKilled kills the first compiler, as the kernel does that is
// short of memory.
func TestFaultsCompilerKilled(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	tree := newTinyTree(t)
	want := tree.build(t, tinyBuild{cache: t.TempDir()})
	for compiler, failure := range map[string]string{
		"gcc":                  "tench: kernel: kernel: compile: make bzImage: exit status 2",
		"x86_64-linux-gnu-gcc": "tench: hello: hello: make: exit status 2",
	} {
		t.Run(compiler, func(t *testing.T) {
			b := tinyBuild{cache: t.TempDir()}
			once := filepath.Join(t.TempDir(), "once")
			tree.program(t, compiler, `case " $* " in *" -c "*) mkdir `+once+` 2>/dev/null && kill -KILL $$;; esac`)
			defer os.Remove(filepath.Join(tree.bin, compiler))
			tree.fails(t, b, failure)
			checkCache(t, b.cache)
			tree.rebuild(t, b, want)
		})
	}
}

// spied are programs of the build that report their signals.
var spied = []string{"make", "gcc", "go", "patch", "mke2fs", "debugfs"}

// spyLines append a program's name, group, blocked and ignored signals to a
// file. They call nothing, for some programs are run without a PATH.
const spyLines = `read -r _ _ _ _ group _ < /proc/self/stat
while read -r key mask; do
	case $key in SigBlk:) blocked=$mask;; SigIgn:) ignored=$mask;; esac
done < /proc/self/status
echo %s $group $blocked $ignored >> %s`

// TestFaultsChildrenSignals looks at the signals of what the build runs:
// whatever this process was started with, ctrl-C must end its children.
func TestFaultsChildrenSignals(t *testing.T) {
	lab.Require(t, tinyNeeds...)
	tree := newTinyTree(t)
	for name, tc := range map[string]struct {
		start  string // shell
		hangup bool   // SIGHUP stays ignored, as nohup promises
	}{
		// Whatever these tests were started by: a shell cannot take back what it was
		// told to ignore.
		"by hand":                {`exec env --default-signal=HUP,INT,QUIT "$@"`, false},
		"in a background, nohup": {`trap '' HUP INT QUIT; exec "$@"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			spy := filepath.Join(t.TempDir(), "spy")
			for _, tool := range spied {
				tree.program(t, tool, fmt.Sprintf(spyLines, tool, spy))
			}
			tree.program(t, "zstd", zstdLines+"\n"+fmt.Sprintf(spyLines, "zstd", spy))
			cmd, out := tree.command(t, tinyBuild{cache: t.TempDir()})
			cmd.Args = append([]string{"sh", "-c", tc.start, "sh"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
			cmd.Path = "/bin/sh"
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			checkSpies(t, spy, cmd.Process.Pid, tc.hangup)
		})
	}
}

// checkSpies reads what spyLines wrote. group is that of tench; hangup says
// whether SIGHUP is to be ignored.
func checkSpies(t *testing.T, file string, group int, hangup bool) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		var tool string
		var own int
		var blocked, ignored uint64
		if _, err := fmt.Sscanf(line, "%s %d %x %x\n", &tool, &own, &blocked, &ignored); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		seen[tool] = true
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM} {
			if (blocked|ignored)&(1<<(signal-1)) != 0 {
				t.Errorf("%s ignores or blocks %v", tool, signal)
			}
		}
		if got := ignored&1 != 0; got != hangup && tool != "gcc" { // SIGHUP is the first; ccache has its own
			t.Errorf("%s ignores SIGHUP: %v, want %v", tool, got, hangup)
		}
		// make has a group of its own, so that an interrupt ends all that it
		// started, and patch, so that ctrl-C does not stop it between two files.
		if (tool == "make" || tool == "patch") && own == group {
			t.Errorf("%s is in the process group of tench", tool)
		}
	}
	for _, tool := range append(spied, "zstd") {
		if !seen[tool] {
			t.Errorf("the build did not run %s", tool)
		}
	}
}
