package build

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/boards"
	"tench/build/cache"
	"tench/config"
	"tench/release"
)

// reports collects what a build tells a person.
type reports struct {
	done  []StepReport
	warns []string
}

func (r *reports) Start(string, string)          {}
func (r *reports) Progress(int64, int64, string) {}
func (r *reports) Done(s StepReport)             { r.done = append(r.done, s) }
func (r *reports) Warn(text string)              { r.warns = append(r.warns, text) }

// newTestPlan is a build of the real tree with a cache of its own.
func newTestPlan(t *testing.T) (*plan, *reports) {
	t.Helper()
	b, err := boards.Load("../boards", "qemu-amd64")
	if err != nil {
		t.Fatal(err)
	}
	r := &reports{}
	dir := t.TempDir()
	p, err := newPlan(b, Options{Root: "..", Cache: filepath.Join(dir, "cache"), Out: filepath.Join(dir, "out"), Offline: true, Report: r})
	if err != nil {
		t.Fatal(err)
	}
	return p, r
}

func TestCheckFolder(t *testing.T) {
	for _, good := range []string{"/home/jörg/.cache/tench", "/a-b_c+d,e=f@g~h", "/cache.d"} {
		if err := checkFolder(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"/my cache", "/a:b", "/$HOME", "/a'b", "/a\nb", "/nb\u00a0sp"} {
		if err := checkFolder(bad); err == nil || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("checkFolder(%q) = %v, want an error with a hint", bad, err)
		}
	}
}

func TestCheckPorts(t *testing.T) {
	p, _ := newTestPlan(t)
	cfg := config.Config{Interfaces: []config.Interface{
		{Name: "wan", Line: 3, Device: config.Selector{Port: "WAN"}},
		{Name: "dmz", Line: 7, Device: config.Selector{Port: "SERVERS"}},
		{Name: "lan", Line: 9, Device: config.Selector{Port: "LAM"}},
	}}
	err := CheckPorts(p.b, "router.toml", cfg)
	want := "router.toml:7: interface.dmz.device: board qemu-amd64 has no port \"SERVERS\"\n  hint: its ports: WAN, LAN\n" +
		"router.toml:9: interface.lan.device: board qemu-amd64 has no port \"LAM\"\n  hint: did you mean \"LAN\"? its ports: WAN, LAN"
	if err == nil || err.Error() != want {
		t.Errorf("CheckPorts = %v, want %s", err, want)
	}
	if err := CheckPorts(p.b, "router.toml", config.Config{Interfaces: cfg.Interfaces[:1]}); err != nil {
		t.Errorf("CheckPorts of a port that is there = %v", err)
	}
}

// Every board's own router.toml must fit its ports, and its recipes be there.
func TestOwnBoards(t *testing.T) {
	list, err := boards.List("../boards")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		p, err := newPlan(b, Options{Root: "..", Cache: t.TempDir(), Out: t.TempDir(), Offline: true, Report: &reports{}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.routerConfig(); err != nil {
			t.Errorf("board %s: %v", b.Name, err)
		}
		needed, err := p.needed()
		if err != nil {
			t.Errorf("board %s: %v", b.Name, err)
		}
		for _, n := range needed {
			if len(n.recipe.Part(n.name)) == 0 {
				t.Errorf("board %s: recipe %s has no part %s", b.Name, n.recipe.Name, n.name)
			}
			patches := n.recipe.Quilt.Part
			if patches != "" && !slices.ContainsFunc(needed, func(o part) bool { return o.recipe.Name == n.recipe.Name && o.name == patches }) {
				t.Errorf("board %s: tench fetch leaves out the patches of %s", b.Name, n.recipe.Name)
			}
		}
	}
}

// A place for the image that cannot be written to is told before the work.
func TestOutIsLookedAtFirst(t *testing.T) {
	p, r := newTestPlan(t)
	if err := os.WriteFile(p.o.Out, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	p.o.Out = filepath.Join(p.o.Out, "qemu-amd64")
	_, err := Image(t.Context(), p.b, p.o)
	if want := "disk: write to " + p.o.Out; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("Image = %v, want %s…", err, want)
	}
	if len(r.done) > 0 {
		t.Errorf("steps were run: %v", r.done)
	}
}

func TestInOrder(t *testing.T) {
	dir := t.TempDir()
	named := "name = \"x\"\nepoch = 2026-11-21T00:00:00Z\n[recipes]\n"
	write := func(name, build string) {
		named += name + " = \"1\"\n"
		dir := filepath.Join(dir, "recipes", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("name=%q\nversion=\"1\"\nseries=\"1\"\nlicence=\"MIT\"\n[[file]]\npart=\"source\"\nfile=\"a.tar\"\nsize=1\nsha256=%q\nunpack=\"tar\"\nlocations=[{url=\"https://x.test/a.tar\"}]\n%s",
			name, strings.Repeat("0", 64), build)
		if err := os.WriteFile(filepath.Join(dir, "recipe.toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	step := func(needs string) string { return "[build]\nneeds=[" + needs + "]\nsteps=[[\"make\"]]\n" }
	write("top", step(`"left", "right", "linux"`))
	write("left", step(`"base"`))
	write("right", step(`"base"`))
	write("base", step(""))
	write("snake", step(`"tail"`))
	write("tail", step(`"snake"`))
	write("data", "")
	if err := os.WriteFile(filepath.Join(dir, "release.toml"), []byte(named), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := release.LoadRelease(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		daemons []string
		want    string
		err     string
	}{
		"each once, after its needs": {[]string{"top", "left"}, "base left right top", ""},
		"none":                       {nil, "", ""},
		"in a circle":                {[]string{"snake"}, "", "recipe snake: it needs itself: snake needs tail needs snake"},
		"no steps":                   {[]string{"data"}, "", "recipe data: it has no [build] steps"},
		"unknown":                    {[]string{"nothing"}, "", dir + "/release.toml:3: recipes: \"nothing\" is called for, but release x does not name it"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &plan{b: boards.Board{Daemons: tc.daemons}, release: r}
			order, err := p.inOrder()
			if (err != nil) != (tc.err != "") || err != nil && !strings.HasPrefix(err.Error(), tc.err) {
				t.Fatalf("inOrder = %v, want %q", err, tc.err)
			}
			var names []string
			for _, r := range order {
				names = append(names, r.Name)
			}
			if got := strings.Join(names, " "); err == nil && got != tc.want {
				t.Errorf("inOrder = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestOfflineWithAnEmptyCacheSaysWhatIsMissing(t *testing.T) {
	p, r := newTestPlan(t)
	_, err := p.source(t.Context(), "linux", "source")
	var failed *StepError
	if !errors.As(err, &failed) || failed.Step != "source" {
		t.Fatalf("source = %v, want a StepError", err)
	}
	if !strings.Contains(err.Error(), "linux-source-6.12_") {
		t.Errorf("the error does not name the file: %v", err)
	}
	if len(r.done) != 1 || r.done[0].Outcome != Failed {
		t.Errorf("reported %v, want one failed step", r.done)
	}
}

func TestDataStepIsBuiltOnceForTheSameConfig(t *testing.T) {
	p, r := newTestPlan(t)
	for _, config := range []string{"hostname = \"a\"\n", "hostname = \"a\"\n", "hostname = \"b\"\n"} {
		if _, err := p.data(t.Context(), []byte(config)); err != nil {
			t.Fatal(err)
		}
	}
	var got []Outcome
	for _, s := range r.done {
		got = append(got, s.Outcome)
	}
	if want := []Outcome{Built, Hit, Built}; len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("outcomes %v, want %v", got, want)
	}
}

// Only a board whose CPU lacks something has its kernel looked through.
func TestKernelISA(t *testing.T) {
	p, r := newTestPlan(t)
	built := fake(t, p, "kernel", map[string][]byte{"vmlinuz": []byte("MZ"), "System.map": []byte("c1000000 T _text\n")})
	if err := p.kernelISA(t.Context(), built); err != nil {
		t.Errorf("a board that lacks nothing: %v", err)
	}
	if len(r.done) != 1 {
		t.Errorf("reported %v, want the fake kernel alone", r.done)
	}
	p.b.CPU.Lacks = []string{"sse"}
	err := p.kernelISA(t.Context(), built)
	if err == nil || !strings.HasPrefix(err.Error(), "kernel-isa: kernel: scan ") || !strings.HasSuffix(err.Error(), "it is no bzImage that says where vmlinux is") {
		t.Errorf("kernelISA of a file that is no kernel = %v", err)
	}
}

func TestManifestListsEveryInputOnce(t *testing.T) {
	p, _ := newTestPlan(t)
	p.inputs = []release.Used{{Name: "net.config", Kind: "fragment", SHA256: "11", Size: 5}}
	p.history = []cache.Record{
		{Step: "kernel", Inputs: []cache.Input{{Name: "fragment net.config", Hash: "11"}, {Name: "tools", Hash: "22"}}},
		{Step: "slot", Inputs: []cache.Input{{Name: "product of step kernel", Hash: "33"}, {Name: "layout", Hash: "44"}, {Name: "version of step slot", Hash: "0"}}},
	}
	want := []release.Used{
		{Name: "net.config", Kind: "fragment", SHA256: "11", Size: 5},
		{Name: "tools", Kind: "step kernel", SHA256: "22"},
		{Name: "layout", Kind: "step slot", SHA256: "44"},
	}
	if diff := cmp.Diff(want, p.allInputs()); diff != "" {
		t.Errorf("allInputs (-want +got)\n%s", diff)
	}
}

func TestReason(t *testing.T) {
	in := func(name, hash string) cache.Input { return cache.Input{Name: name, Hash: hash} }
	for name, tc := range map[string]struct {
		record cache.Record
		before []cache.Input
		want   string
	}{
		"hit":         {cache.Record{Hit: true}, nil, "hit: nothing it is made of changed"},
		"first build": {cache.Record{Took: time.Second, CPU: 2 * time.Second, Inputs: []cache.Input{in("a", "1")}}, nil, "built in 1.0 s (2.0 s of CPU): never built before"},
		"changed": {cache.Record{Took: time.Second, CPU: 2 * time.Second, Inputs: []cache.Input{in("fragment net.config", "2")}},
			[]cache.Input{in("fragment net.config", "1")}, "built in 1.0 s (2.0 s of CPU): fragment net.config changed"},
		"product gone": {cache.Record{Took: time.Second, CPU: 2 * time.Second, Inputs: []cache.Input{in("a", "1")}},
			[]cache.Input{in("a", "1")}, "built in 1.0 s (2.0 s of CPU): its product was gone or damaged"},
	} {
		if got := reason(tc.record, tc.before); got != tc.want {
			t.Errorf("%s: reason = %q, want %q", name, got, tc.want)
		}
	}
}

func TestAChangedImageIsMadeAgain(t *testing.T) {
	p, _ := newTestPlan(t)
	if err := os.MkdirAll(p.o.Out, 0o755); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(p.o.Out, release.ImageName(p.b.Name))
	if err := os.WriteFile(image, []byte("image"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := release.Manifest{Board: p.b.Name,
		Products: []release.Product{{File: filepath.Base(image), Size: 5, SHA256: cache.HashBytes([]byte("image"))}},
		Steps:    []release.Ran{{Name: "disk", Key: "key"}}}
	if err := errors.Join(m.Write(filepath.Join(p.o.Out, release.ManifestFile)), release.WriteSums(filepath.Join(p.o.Out, release.SumsFile), m.Products)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.assembled("key"); err != nil {
		t.Errorf("a whole image is not taken: %v", err)
	}
	if _, err := p.assembled("other"); err == nil {
		t.Error("an image of other parts is taken")
	}
	if err := os.WriteFile(image, []byte("imago"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.assembled("key"); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("a tampered image: %v, want an error", err)
	}
}
