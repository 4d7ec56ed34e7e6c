package userland

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/mod/modfile"

	"tench/boards"
	"tench/build/cache"
)

// TenchdInputs lists what Tenchd depends on: the Go version, the target, go.mod
// and go.sum (they pin everything that is not ours), and the files of each own
// package below root that cmd/tenchd imports for this board. It reads about a
// hundred small files and starts one program.
func TenchdInputs(ctx context.Context, b boards.Board, root string) ([]cache.Input, error) {
	inputs, err := commonInputs(ctx, b, root)
	if err != nil {
		return nil, fmt.Errorf("tenchd: %w", err)
	}
	packages, err := ownPackages(b, root, tenchdPackage)
	if err != nil {
		return nil, fmt.Errorf("tenchd: %w", err)
	}
	inputs = append(inputs, textInput("flags", strings.Join(tenchdFlags, " ")))
	return append(inputs, packages...), nil
}

// CommandsInputs lists what Commands depends on: the Go version, the target, the
// gobusybox that rewrites the sources, the go.mod and go.sum that list and pin the
// commands, and the zstd that packs them.
func CommandsInputs(ctx context.Context, b boards.Board, root string) ([]cache.Input, error) {
	inputs, err := commonInputs(ctx, b, filepath.Join(root, commandsDir))
	if err != nil {
		return nil, fmt.Errorf("commands: %w", err)
	}
	version, err := moduleVersion(filepath.Join(root, "go.mod"), "github.com/u-root/gobusybox/src")
	if err != nil {
		return nil, fmt.Errorf("commands: %w", err)
	}
	zstd, err := exec.CommandContext(ctx, "zstd", "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("commands: run zstd: %w\nhint: tench doctor --for build", err)
	}
	return append(inputs, textInput("gobusybox", version+" "+strings.Join(commandFlags, " ")), textInput("zstd", string(zstd))), nil
}

// commonInputs are the inputs of every Go program of the module in dir.
func commonInputs(ctx context.Context, b boards.Board, dir string) ([]cache.Input, error) {
	tc, err := findToolchain(ctx)
	if err != nil {
		return nil, err
	}
	inputs := []cache.Input{
		textInput("Go", tc.Version),
		textInput("Go target", strings.Join(target(b), " ")+" "+linkFlags),
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		in, err := filesInput(name, dir, []string{name})
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, in)
	}
	return inputs, nil
}

// ownPackages hashes the package in dir and all packages of our module that it
// imports, directly or not, as the board's build sees them.
func ownPackages(b boards.Board, root, dir string) ([]cache.Input, error) {
	gc := build.Default
	gc.GOOS, gc.GOARCH, gc.CgoEnabled = "linux", b.Arch.Name, false
	seen := map[string]bool{dir: true}
	var inputs []cache.Input
	for todo := []string{dir}; len(todo) > 0; todo = todo[1:] {
		path := filepath.Join(root, todo[0])
		pkg, err := gc.ImportDir(path, 0)
		if err != nil {
			return nil, err
		}
		files, err := packageFiles(path, pkg)
		if err != nil {
			return nil, err
		}
		in, err := filesInput("package "+todo[0], path, files)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, in)
		for _, imp := range pkg.Imports {
			own, ours := strings.CutPrefix(imp, "tench/")
			if ours && !seen[own] {
				seen[own] = true
				todo = append(todo, own)
			}
		}
	}
	return inputs, nil
}

// packageFiles lists the files that the compiler reads, embedded ones included.
func packageFiles(dir string, pkg *build.Package) ([]string, error) {
	files := append(append([]string(nil), pkg.GoFiles...), pkg.SFiles...)
	for _, pattern := range pkg.EmbedPatterns {
		matches, err := filepath.Glob(filepath.Join(dir, strings.TrimPrefix(pattern, "all:")))
		if err != nil {
			return nil, fmt.Errorf("%s: embed %s: %w", dir, pattern, err)
		}
		for _, m := range matches {
			err := filepath.WalkDir(m, func(path string, d os.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				rel, err := filepath.Rel(dir, path)
				files = append(files, rel)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	sort.Strings(files)
	return files, nil
}

func moduleVersion(file, module string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	mod, err := modfile.Parse(file, data, nil)
	if err != nil {
		return "", err
	}
	for _, r := range mod.Require {
		if r.Mod.Path == module {
			return r.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", file, module)
}

func textInput(name, text string) cache.Input {
	sum := sha256.Sum256([]byte(text))
	return cache.Input{Name: name, Hash: hex.EncodeToString(sum[:])}
}

// filesInput hashes names and contents of files below dir.
func filesInput(name, dir string, files []string) (cache.Input, error) {
	h := sha256.New()
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			return cache.Input{}, err
		}
		fmt.Fprintf(h, "%s %d\n", file, len(data))
		if _, err := h.Write(data); err != nil {
			return cache.Input{}, err
		}
	}
	return cache.Input{Name: name, Hash: hex.EncodeToString(h.Sum(nil))}, nil
}
