package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/build/farm"
	"tench/internal/lab"
)

// sources is how many C files the fake kernel gets.
const sources = 5

// compiled builds the fake kernel with C files in it and returns their objects.
func compiled(t *testing.T, ccache string, f farm.Farm) string {
	t.Helper()
	src := fakeLinux(t, bzImage(kernel64))
	for i := range sources {
		write(t, filepath.Join(src.Tree, fmt.Sprintf("unit%d.c", i)), fmt.Sprintf("int unit%d(int a) { return a + __LINE__ + %d; }\n", i, i))
	}
	o := testOptions(t)
	o.CCache, o.Farm = ccache, f
	k, err := Build(t.Context(), board, src, fragment(t, ""), o)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(k.SystemMap)
	if err != nil {
		t.Fatal(err)
	}
	// The first line names the compiler, with or without ccache before it.
	_, objects, _ := strings.Cut(string(data), "\n")
	return objects
}

// counters are ccache's statistics, one "name\tvalue" a line.
func counters(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.Command("ccache", "--print-stats")
	cmd.Env = append(os.Environ(), "CCACHE_DIR="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return "\n" + string(out)
}

func wantCounter(t *testing.T, stats, name string, value int) {
	t.Helper()
	if line := fmt.Sprintf("\n%s\t%d\n", name, value); !strings.Contains(stats, line) {
		t.Errorf("ccache's statistics lack %q:%s", strings.TrimSpace(line), stats)
	}
}

// TestLabSharedCache fills a storage from one machine's cache and builds with
// the empty cache of another.
func TestLabSharedCache(t *testing.T) {
	lab.Require(t, "gcc", "ccache", "redis-server")
	f := farm.Farm{Storage: "redis://" + lab.Redis(t).Host}
	plain := compiled(t, "", farm.Farm{})
	first, second := filepath.Join(t.TempDir(), "ccache"), filepath.Join(t.TempDir(), "ccache")
	if compiled(t, first, f) != plain {
		t.Error("the shared cache changes the objects")
	}
	wantCounter(t, counters(t, first), "cache_miss", sources)
	if compiled(t, second, f) != plain {
		t.Error("objects from the shared cache are others")
	}
	stats := counters(t, second)
	wantCounter(t, stats, "cache_miss", 0)
	wantCounter(t, stats, "direct_cache_hit", sources)
	wantCounter(t, stats, "local_storage_hit", 0)
}

// A storage that nobody answers for costs time and changes nothing.
func TestLabSharedCacheIsAway(t *testing.T) {
	lab.Require(t, "gcc", "ccache")
	away := farm.Farm{Storage: "redis://127.0.0.1:1"}
	if compiled(t, filepath.Join(t.TempDir(), "ccache"), away) != compiled(t, "", farm.Farm{}) {
		t.Error("without the storage the objects are others")
	}
}

// TestLabDistcc has distccd compile; hosts that are away are made up for here.
func TestLabDistcc(t *testing.T) {
	lab.Require(t, "gcc", "ccache", "distcc", "distccd")
	server := lab.Distccd(t)
	plain := compiled(t, "", farm.Farm{})
	dir := filepath.Join(t.TempDir(), "ccache")
	if compiled(t, dir, farm.Farm{Hosts: server.Host}) != plain {
		t.Error("another machine's objects are others")
	}
	wantCounter(t, counters(t, dir), "cache_miss", sources)
	log, err := os.ReadFile(server.Log)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), " COMPILE_OK "); n != sources {
		t.Errorf("distccd compiled %d files, want %d:\n%s", n, sources, log)
	}
	if compiled(t, filepath.Join(t.TempDir(), "ccache"), farm.Farm{Hosts: "127.0.0.1:1"}) != plain {
		t.Error("without the host the objects are others")
	}
}
