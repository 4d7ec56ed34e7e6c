package userland

import (
	"archive/zip"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tench/boards"
)

// moduleTree is a small checkout that uses one module, which requires another whose
// code nobody needs, and the folder of a proxy that has both. go is told to use that
// proxy and a module cache of its own.
func moduleTree(t *testing.T) (root, proxy string) {
	t.Helper()
	dir := t.TempDir()
	root, proxy = filepath.Join(dir, "root"), filepath.Join(dir, "proxy")
	const depMod, otherMod = "module x.test/Dep\n\ngo 1.26.0\n\nrequire x.test/Other v1.0.0\n", "module x.test/Other\n\ngo 1.26.0\n"
	dep := zipped(t, "x.test/Dep@v1.0.0/", map[string]string{
		"go.mod":    depMod,
		"dep.go":    "package dep\n\nfunc F() {}\n",
		"cmd/ls.go": "package main\n\nfunc main() {}\n",
	})
	other := zipped(t, "x.test/Other@v1.0.0/", map[string]string{"go.mod": otherMod})
	use := "package main\n\nimport \"x.test/Dep\"\n\nfunc main() { dep.F() }\n"
	for path, text := range map[string]string{
		proxy + "/x.test/!dep/@v/v1.0.0.zip":    dep,
		proxy + "/x.test/!dep/@v/v1.0.0.mod":    depMod,
		proxy + "/x.test/!dep/@v/v1.0.0.info":   `{"Version":"v1.0.0"}`,
		proxy + "/x.test/!other/@v/v1.0.0.zip":  other,
		proxy + "/x.test/!other/@v/v1.0.0.mod":  otherMod,
		proxy + "/x.test/!other/@v/v1.0.0.info": `{"Version":"v1.0.0"}`,
		root + "/go.mod":                        "module tench\n\ngo 1.26.0\n\nrequire x.test/Dep v1.0.0\n\nrequire x.test/Other v1.0.0 // indirect\n",
		root + "/cmd/tench/main.go":             use,
		root + "/cmd/tenchd/main.go":            use,
		root + "/" + commandsDir + "/go.mod":    "module commands\n\ngo 1.26.0\n\ntool x.test/Dep/cmd\n\nrequire x.test/Dep v1.0.0\n",
	} {
		writeFile(t, path, text)
	}
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOFLAGS", "-modcacherw")
	goProxy(t, proxy)
	for _, module := range []string{root, filepath.Join(root, commandsDir)} {
		cmd := exec.Command("go", "mod", "download", "all")
		cmd.Dir, cmd.Env = module, append(os.Environ(), "GOFLAGS=-mod=mod -modcacherw")
		if out, err := cmd.CombinedOutput(); err != nil { // it writes go.sum
			t.Fatalf("go mod download: %v\n%s", err, out)
		}
	}
	goProxy(t, proxy)
	return root, proxy
}

// zipped is the zip of a module.
func zipped(t *testing.T, prefix string, files map[string]string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, text := range files {
		w, err := z.Create(prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// goProxy gives go an empty module cache, and the folder for its proxy.
func goProxy(t *testing.T, dir string) {
	t.Helper()
	cache := t.TempDir()
	t.Cleanup(func() { // modules are not to be written to, nor to be removed
		_ = exec.Command("chmod", "-R", "u+w", cache).Run()
	})
	t.Setenv("GOMODCACHE", cache)
	t.Setenv("GOPROXY", fileURL(dir))
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// carry writes the modules to a folder, as a bundle would.
func carry(t *testing.T, files []ModuleFile) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	for _, f := range files {
		data := f.Data
		if f.Path != "" {
			var err error
			if data, err = os.ReadFile(f.Path); err != nil {
				t.Fatal(err)
			}
		}
		writeFile(t, filepath.Join(dir, f.Name), string(data))
		names = append(names, f.Name)
	}
	return dir, names
}

func TestModulesAreTakenToAnotherMachine(t *testing.T) {
	b := testBoard(t)
	root, _ := moduleTree(t)
	scratch := t.TempDir()
	files, err := Modules(t.Context(), root, []boards.Board{b}, ModuleOptions{Scratch: scratch})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(scratch, "cache/download/x.test/!dep/@v/v1.0.0.mod")); err != nil {
		t.Errorf("the module cache for the graph is elsewhere: %v", err)
	}
	dir, names := carry(t, files)
	if got := strings.Join(names, " "); got != "x.test/!dep/@v/v1.0.0.mod x.test/!dep/@v/v1.0.0.zip x.test/!other/@v/v1.0.0.mod" {
		t.Errorf("files %s", got)
	}
	again, err := Modules(t.Context(), root, []boards.Board{b}, ModuleOptions{Scratch: t.TempDir(), Offline: true})
	if err != nil || len(again) != len(files) {
		t.Errorf("Modules offline has %d files, %v; want %d", len(again), err, len(files))
	}

	goProxy(t, t.TempDir()) // a machine that has nothing
	if err := TakeModules(t.Context(), root, dir, []boards.Board{b}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", os.DevNull, "./cmd/tench", "./cmd/tenchd")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "GOPROXY=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go build without a network: %v\n%s", err, out)
	}
}

func TestTakeModulesComparesWithGoSum(t *testing.T) {
	b := testBoard(t)
	root, proxy := moduleTree(t)
	goProxy(t, t.TempDir())
	writeFile(t, proxy+"/x.test/!dep/@v/v1.0.0.mod", "module x.test/Dep\n\ngo 1.26.0\n\n// changed\n")
	err := TakeModules(t.Context(), root, proxy, []boards.Board{b})
	if err == nil || !strings.Contains(err.Error(), "checksum mismatch") || !strings.Contains(err.Error(), "\nhint: was the bundle made") {
		t.Errorf("TakeModules of a changed module = %v", err)
	}
}

func TestModulesOfflineSaysWhatItLacks(t *testing.T) {
	root, _ := moduleTree(t)
	_, err := Modules(t.Context(), root, []boards.Board{testBoard(t)}, ModuleOptions{Scratch: t.TempDir(), Offline: true})
	if err == nil || !strings.Contains(err.Error(), "downloading x.test/Dep v1.0.0") || !strings.HasSuffix(err.Error(), "\nhint: without --offline they are fetched") {
		t.Errorf("Modules = %v", err)
	}
}
