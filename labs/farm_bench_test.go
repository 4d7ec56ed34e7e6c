package labs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/build/farm"
	"tench/internal/lab"
	"tench/release"
)

// BenchmarkFarm compiles a few dozen files of musl with each part of a compile
// farm, and prints how long each takes as a share of plain gcc's time. The farm
// is this machine: distccd's compilers take the same processors, so that its
// number is the price of distribution, which a second machine has to earn.
func BenchmarkFarm(b *testing.B) {
	lab.Require(b, "gcc", "make", "tar", "ccache", "distcc", "distccd", "redis-server")
	m := newMuslBench(b)
	server := lab.Distccd(b)
	hosts := farm.Farm{Hosts: server.Host + "/2"}
	var plain time.Duration
	for range b.N {
		storage := farm.Farm{Storage: "redis://" + lab.Redis(b).Host} // with nothing in it
		for _, c := range []struct {
			name  string
			farm  farm.Farm
			cache string // "" for no ccache
		}{
			{"plain", farm.Farm{}, ""},
			{"ccache-first", farm.Farm{}, b.TempDir()},
			{"storage-filled", storage, b.TempDir()},
			{"storage-hit", storage, b.TempDir()},
			{"distcc", hosts, b.TempDir()},
		} {
			took := m.compile(b, c.farm, c.cache)
			if c.cache == "" {
				plain = took
			}
			b.Logf("%s: %.2f s", c.name, took.Seconds())
			if c.cache != "" {
				b.ReportMetric(took.Seconds()/plain.Seconds(), c.name+"/plain")
			}
		}
	}
	// Else distcc compiled here, silently, and its number says nothing.
	log, err := os.ReadFile(server.Log)
	if err != nil {
		b.Fatal(err)
	}
	if n, want := strings.Count(string(log), " COMPILE_OK "), b.N*len(m.objects); n != want {
		b.Fatalf("distccd compiled %d files, want %d:\n%s", n, want, log)
	}
	b.ReportMetric(plain.Seconds(), "plain-s")
	b.ReportMetric(0, "ns/op")
}

// muslBench is a configured musl.
type muslBench struct {
	dir     string
	objects []string // targets of its Makefile
}

func newMuslBench(b *testing.B) muslBench {
	b.Helper()
	recipe, err := release.Load(filepath.Join(lab.Root(b), "release", "recipes"), "musl")
	if err != nil {
		b.Fatal(err)
	}
	file := recipe.Part("source")[0]
	places := []string{filepath.Join(cacheDir(b), "dl", "sha256", file.SHA256[:2], file.SHA256)}
	for _, mirror := range filepath.SplitList(os.Getenv("TENCH_MIRROR")) {
		places = append(places, filepath.Join(mirror, file.Name))
	}
	m := muslBench{dir: b.TempDir()}
	for _, place := range places {
		if _, err = os.Stat(place); err != nil {
			continue
		}
		m.run(b, nil, "tar", "--strip-components=1", "-xf", place)
		break
	}
	if err != nil {
		b.Fatalf("%v\nhint: make image BOARD=alix2d3 fetches musl, or name a folder with it in TENCH_MIRROR", err)
	}
	m.run(b, nil, "./configure", "--disable-shared")
	sources, err := filepath.Glob(filepath.Join(m.dir, "src", "network", "*.c"))
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range sources[:min(len(sources), 40)] {
		m.objects = append(m.objects, "obj/src/network/"+strings.TrimSuffix(filepath.Base(s), ".c")+".o")
	}
	b.Logf("make -j2 of %d objects of musl's src/network", len(m.objects))
	return m
}

func (m muslBench) compile(b *testing.B, f farm.Farm, cache string) time.Duration {
	b.Helper()
	cc, env := "gcc", []string(nil)
	if cache != "" {
		cc, env = "ccache gcc", f.Env(filepath.Join(cache, "ccache"))
		err := errors.Join(os.RemoveAll(filepath.Join(cache, "ccache")), f.Prepare(filepath.Join(cache, "ccache")))
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(m.dir, "obj", "src", "network")); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	m.run(b, env, "make", append([]string{"-j2", "CC=" + cc}, m.objects...)...)
	return time.Since(began)
}

func (m muslBench) run(b *testing.B, env []string, name string, args ...string) {
	b.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = m.dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatal(fmt.Errorf("%s: %w\n%s", name, err, out))
	}
}
