package userland

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	gomod "golang.org/x/mod/module"

	"tench/boards"
)

// ModuleFile is a file of a Go module as a module proxy serves it
// (https://go.dev/ref/mod#goproxy-protocol).
type ModuleFile struct {
	Name string // below the proxy's root, e.g. "golang.org/x/sys/@v/v0.49.0.zip"
	Path string // where it is; "" for Data
	Data []byte
}

// modulesUse is one command of go that reads all modules that some programs are
// made of, and fetches those that the module cache lacks.
type modulesUse struct {
	dir  string   // where go runs, below the project's root
	env  []string // the target
	args []string // packages, with flags before them
}

// moduleUses are those of tench on this machine, and of the boards' programs.
func moduleUses(list []boards.Board) []modulesUse {
	uses := []modulesUse{{dir: ".", args: []string{"./cmd/tench"}}}
	var seen []string
	for _, b := range list {
		if !slices.Contains(seen, b.Arch.Name) {
			seen = append(seen, b.Arch.Name)
			uses = append(uses, modulesUse{".", target(b), []string{"./" + tenchdPackage}},
				modulesUse{commandsDir, target(b), []string{"-tags=" + commandTags, "tool"}})
		}
	}
	return uses
}

// list runs go list over the modules that the programs need, with more variables,
// and returns each as "PATH VERSION".
func (u modulesUse) list(ctx context.Context, root string, env ...string) ([]string, error) {
	args := append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}"}, u.args...)
	out, err := runGo(ctx, filepath.Join(root, u.dir), append(slices.Clone(u.env), env...), args...)
	if err != nil {
		return nil, err
	}
	var modules []string
	for line := range strings.SplitSeq(strings.TrimSpace(out), "\n") {
		if _, version, _ := strings.Cut(line, " "); version != "" { // ours has none
			modules = append(modules, line)
		}
	}
	return modules, nil
}

// runGo runs go in dir and returns what it prints.
func runGo(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOFLAGS=", "GOWORK=off"), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("modules: go %s: %w", args[0], errors.Join(ctx.Err(), err))
	}
	return string(out), nil
}

// ModuleOptions say how modules are looked for.
type ModuleOptions struct {
	Scratch string // an empty folder, absolute; to be removed afterwards
	Offline bool   // fetch nothing
}

// proxy is where go looks for what this machine lacks, in its environment.
func (o ModuleOptions) proxy() []string {
	if o.Offline {
		return []string{"GOPROXY=off"}
	}
	return nil
}

// advise adds to an error what to do where nothing may be fetched.
func (o ModuleOptions) advise(err error) error {
	if !o.Offline {
		return err
	}
	return fmt.Errorf("%w\nhint: without --offline they are fetched", err)
}

// Modules returns every file of Go modules that building tench and the boards'
// programs calls for. What this machine lacks is fetched, unless offline.
func Modules(ctx context.Context, root string, list []boards.Board, o ModuleOptions) ([]ModuleFile, error) {
	cacheDir, err := runGo(ctx, root, nil, "env", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	c := moduleCache{dir: filepath.Join(strings.TrimSpace(cacheDir), "cache", "download"), files: map[string]ModuleFile{}}
	for _, u := range moduleUses(list) {
		modules, err := u.list(ctx, root, o.proxy()...)
		if err != nil {
			return nil, o.advise(err)
		}
		for _, m := range modules {
			if err := c.add(m); err != nil {
				return nil, err
			}
		}
	}
	if err := c.addGraph(ctx, root, o); err != nil {
		return nil, err
	}
	var files []ModuleFile
	for _, f := range c.files {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b ModuleFile) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

// moduleCache collects files out of cache/download of Go's module cache.
type moduleCache struct {
	dir   string
	files map[string]ModuleFile
}

// addGraph takes the go.mod files that go reads to choose versions: also those
// of modules whose code nobody needs, and of versions that are not chosen. What
// this machine lacks of them is fetched first. To see which go reads it is given a
// module cache that is empty, and ours as the proxy. What go.sum does not know no
// build uses, so that nothing is looked up for it.
func (c moduleCache) addGraph(ctx context.Context, root string, o ModuleOptions) error {
	read := filepath.Join(o.Scratch, "cache", "download")
	if err := os.MkdirAll(read, 0o755); err != nil { // there it is also when no module is needed
		return fmt.Errorf("modules: %w", err)
	}
	for _, dir := range []string{".", commandsDir} {
		dir = filepath.Join(root, dir)
		if _, err := runGo(ctx, dir, append(o.proxy(), "GOSUMDB=off"), "mod", "graph"); err != nil {
			return o.advise(err)
		}
		env := []string{"GOMODCACHE=" + o.Scratch, "GOFLAGS=-modcacherw", "GOPROXY=" + fileURL(c.dir), "GONOPROXY=none", "GOSUMDB=off"}
		if _, err := runGo(ctx, dir, env, "mod", "graph"); err != nil {
			return err
		}
	}
	files := os.DirFS(read)
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".mod") {
			return err
		}
		data, err := fs.ReadFile(files, name)
		c.files[name] = ModuleFile{Name: name, Data: data}
		return err
	})
}

// fileURL is the folder as GOPROXY names it.
func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// add takes the code of the module "PATH VERSION", and its go.mod. go.sum knows
// both; an .info file, which go does without when the version is known, it does
// not.
func (c moduleCache) add(m string) error {
	path, version, _ := strings.Cut(m, " ")
	path, err := gomod.EscapePath(path)
	if err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	version, err = gomod.EscapeVersion(version)
	if err != nil {
		return fmt.Errorf("modules: %w", err)
	}
	for _, suffix := range []string{".zip", ".mod"} {
		f := ModuleFile{Name: path + "/@v/" + version + suffix}
		f.Path = filepath.Join(c.dir, filepath.FromSlash(f.Name))
		if _, err := os.Stat(f.Path); err != nil {
			return fmt.Errorf("modules: %w", err)
		}
		c.files[f.Name] = f
	}
	return nil
}

// TakeModules lets go fetch the modules that building tench and the boards'
// programs calls for out of dir, a folder laid out as a module proxy. go
// compares each with go.sum, and keeps it in its module cache: later builds need
// neither dir nor a network.
func TakeModules(ctx context.Context, root, dir string, list []boards.Board) error {
	proxy := "GOPROXY=" + fileURL(dir)
	for _, u := range moduleUses(list) {
		if _, err := u.list(ctx, root, proxy, "GONOPROXY=none", "GOTOOLCHAIN=local"); err != nil {
			return fmt.Errorf("%w\nhint: was the bundle made from this version of the checkout, with Go like %s here?", err, runtime.Version())
		}
	}
	return nil
}
