// Package farm has the compiler cache, and the other machines that compile
// faster together.
//
//	farm.go   Farm, its settings for the compiler's environment
//	check.go  what may be named, and whether it can be reached
//	probe.go  whether the hosts have our compiler
//
// Two things may be named, each for itself: a storage that the ccache of several
// machines shares, and hosts whose compilers distcc calls. With distcc the
// preprocessor stays here, behind ccache, so that hosts need no headers. Neither
// changes a byte of what is compiled: that is why they are part of no step's key.
package farm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Farm names the machines. The zero value names none.
type Farm struct {
	Storage string // ccache's remote_storage, e.g. "redis://farm:6379"
	Hosts   string // distcc's DISTCC_HOSTS, e.g. "farm1/8 farm2:3633/4,lzo"
}

// Programs are the programs that the farm needs here; Debian's packages have
// the same names.
func (f Farm) Programs() []string {
	var list []string
	if f.Storage != "" || f.Hosts != "" {
		list = append(list, "ccache")
	}
	if f.Hosts != "" {
		list = append(list, "distcc")
	}
	return list
}

// Env is the environment of a compiler that ccache calls. ccache keeps its
// files in the folder dir; distcc's are in a folder beside it.
//
// The objects hold no paths, so that the working folder need not be part of the
// cache's key. NOCPP2 compiles what was preprocessed for the key, instead of
// preprocessing it a second time: filling the cache then costs 14 % of a
// kernel's build instead of 45 %. The depend mode would cost nothing, but misses
// whenever any symbol of the kernel's configuration changes, and other boards'
// objects are what we want.
func (f Farm) Env(dir string) []string {
	env := []string{"CCACHE_DIR=" + dir, "CCACHE_NOHASHDIR=1", "CCACHE_NOCPP2=1", "CCACHE_MAXSIZE=2G"}
	if f.Storage != "" {
		env = append(env, "CCACHE_REMOTE_STORAGE="+f.Storage)
	}
	if f.Hosts != "" {
		env = append(env, "CCACHE_PREFIX=distcc", "DISTCC_HOSTS="+f.Hosts, "DISTCC_DIR="+distccDir(dir))
	}
	return env
}

// Prepare makes the folder that distcc wants to find; dir is as in Env.
func (f Farm) Prepare(dir string) error {
	if f.Hosts == "" {
		return nil
	}
	if err := os.MkdirAll(distccDir(dir), 0o755); err != nil {
		return fmt.Errorf("farm: %w", err)
	}
	return nil
}

func distccDir(ccacheDir string) string { return filepath.Join(filepath.Dir(ccacheDir), "distcc") }

// Jobs is how many compilers to run at once: what the hosts offer together,
// but no fewer than local.
func (f Farm) Jobs(ctx context.Context, local int) int {
	if f.Hosts == "" {
		return local
	}
	cmd := exec.CommandContext(ctx, "distcc", "-j")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "DISTCC_HOSTS=" + f.Hosts}
	out, err := cmd.Output()
	if err != nil {
		return local
	}
	offered, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return local
	}
	return max(local, offered)
}
