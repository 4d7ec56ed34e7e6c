package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"tench/boards"
	"tench/build/cache"
	"tench/build/cross"
	"tench/build/kernel"
	"tench/release"
)

// Lock finds what the release r of the checkout at root is made of at this
// moment, with the tools that building list calls for. Inputs are those of all
// boards.
func Lock(ctx context.Context, root string, r release.Release, list []boards.Board) (release.Lock, error) {
	l := release.Lock{Schema: release.LockSchema, Release: r.Name, Epoch: r.Epoch}
	for _, b := range list {
		if !slices.Contains(l.Arches, b.Arch.Name) {
			l.Arches = append(l.Arches, b.Arch.Name)
		}
	}
	slices.Sort(l.Arches)
	err := errors.Join(lockRecipes(&l, r), lockFolders(&l, root), lockTools(ctx, &l, list))
	if err != nil {
		return release.Lock{}, err
	}
	l.Commit, l.Clean = commit(ctx, root)
	return l, nil
}

// lockRecipes notes the release's recipes, with their files, patches and
// kernel fragments. A folder under development cannot be held to anything, and
// so has no entry but its recipe's.
func lockRecipes(l *release.Lock, r release.Release) error {
	l.Recipe, l.Source, l.Patch, l.Fragment = map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}
	for _, recipe := range r.Recipes {
		hash, err := cache.HashFile(filepath.Join(recipe.Dir, release.RecipeFile))
		if err != nil {
			return err
		}
		l.Recipe[recipe.Name] = hash
		for _, f := range pinned(recipe) {
			l.Source[recipe.Name+"/"+f.Part+"/"+f.Name] = fmt.Sprintf("%s %d", f.SHA256, f.Size)
		}
		for _, p := range recipe.Patches {
			l.Patch[recipe.Name+"/"+p.Name] = p.SHA256
		}
		for name, hash := range recipe.Quilt.SHA256 {
			l.Patch[recipe.Name+"/"+recipe.Quilt.Part+"/"+name] = hash
		}
		fragments, err := filepath.Glob(filepath.Join(recipe.Dir, "fragments", "*.config"))
		if err != nil {
			return err
		}
		for _, path := range fragments {
			if l.Fragment[recipe.Name+"/"+filepath.Base(path)], err = cache.HashFile(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// moduleFiles pin everything in Go that is not ours.
var moduleFiles = []string{"go.mod", "go.sum", "build/userland/commands/go.mod", "build/userland/commands/go.sum"}

// lockFolders notes what lies beside the recipes in the checkout.
func lockFolders(l *release.Lock, root string) (err error) {
	l.Module = map[string]string{}
	for _, name := range moduleFiles {
		if l.Module[name], err = cache.HashFile(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	if l.Overlay, err = hashEach(filepath.Join(root, "overlays")); err != nil {
		return err
	}
	l.Board, err = hashEach(filepath.Join(root, "boards"))
	return err
}

// hashEach hashes each folder and file in dir but Go code.
func hashEach(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	hashes := map[string]string{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".go" {
			continue
		}
		if hashes[e.Name()], err = cache.HashCheckout(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// lockTools notes the versions of Go and of the programs whose work is in the
// board's image.
func lockTools(ctx context.Context, l *release.Lock, list []boards.Board) error {
	l.Tool = map[string]string{}
	version, err := toolVersion(ctx, "go", "env", "GOVERSION")
	if err != nil {
		return err
	}
	l.Tool["go"] = version
	for _, b := range list {
		for _, name := range lockedTools(b) {
			if l.Tool[name] != "" {
				continue
			}
			if l.Tool[name], err = toolVersion(ctx, name, versionFlag(name)); err != nil {
				return fmt.Errorf("%w\nhint: tench doctor %s --for build", err, b.Name)
			}
		}
	}
	return nil
}

// lockedTools are the programs that leave a trace in what is built: those in
// the keys of steps, and those that write what is then compiled.
func lockedTools(b boards.Board) []string {
	tools := append(kernel.KeyTools(b), "mke2fs", "make", "flex", "bison", "bc", "perl")
	if len(b.Daemons) > 0 {
		tools = append(tools, cross.KeyTools(b)...)
	}
	return tools
}

func versionFlag(program string) string {
	if program == "mke2fs" {
		return "-V"
	}
	return "--version"
}

// toolVersion is the first line that a program prints.
func toolVersion(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("lock: ask %s for its version: %w", program, err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line, nil
}

// commit names the commit of the checkout, and says whether its files are the
// commit's. It is "" where git does not know; locks themselves do not count.
func commit(ctx context.Context, root string) (name string, clean bool) {
	git := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, "git", append([]string{"-C", root}, args...)...).Output()
		return strings.TrimSpace(string(out)), err
	}
	name, err := git("rev-parse", "HEAD")
	if err != nil {
		return "", false
	}
	changed, err := git("status", "--porcelain", "--", ".", ":(exclude,glob)**/release.lock")
	return name, err == nil && changed == ""
}

// checkLock holds the build to the release's lock: everything that is not what
// the lock says is told at once.
func (p *plan) checkLock(ctx context.Context, needed []part) error {
	locked, err := p.release.Locked()
	if err != nil {
		return err
	}
	path := p.release.LockPath()
	if !slices.Contains(locked.Arches, p.b.Arch.Name) {
		return fmt.Errorf("lock: %s was made for %s; it names no tools for %s, the CPU of %s\nhint: tench lock --all-boards%s makes it for all",
			path, strings.Join(locked.Arches, ", "), p.b.Arch.Name, p.b.Name, p.release.Option())
	}
	found, err := Lock(ctx, p.o.Root, p.release, []boards.Board{p.b})
	if err != nil {
		return err
	}
	found.Arches = locked.Arches
	concerns := p.concerns(needed)
	changes := locked.Only(concerns).Changes(found.Only(concerns))
	if len(changes) == 0 {
		return nil
	}
	var b strings.Builder
	for _, c := range changes {
		fmt.Fprintf(&b, "\n  %s", c)
	}
	return fmt.Errorf("lock: what %s is made of is not what %s says:%s\nhint: tench lock%s notes it, if it is meant; without --strict it is built as it is",
		p.b.Name, path, b.String(), p.release.Option())
}

// concerns returns whether an entry of a lock has to do with the board.
func (p *plan) concerns(needed []part) func(kind, name string) bool {
	return func(kind, name string) bool {
		dir, rest, _ := strings.Cut(name, "/")
		switch kind {
		case "recipe", "patch":
			return slices.ContainsFunc(needed, func(n part) bool { return n.recipe.Name == dir })
		case "source":
			return slices.ContainsFunc(needed, func(n part) bool { return n.recipe.Name == dir && n.name == filepath.Dir(rest) })
		case "fragment":
			return slices.Contains(p.b.Kernel.Fragments, strings.TrimSuffix(rest, ".config"))
		case "overlay":
			layer := strings.TrimSuffix(name, ".flist")
			return layer == "common" || layer == p.b.Name || slices.Contains(p.b.Daemons, layer)
		case "board":
			return name == p.b.Name
		case "tool":
			return name == "go" || slices.Contains(lockedTools(p.b), name)
		}
		return true
	}
}
