package release

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// Build says how a program or library in C is compiled for a board.
//
// Steps are commands, run one after the other in the unpacked and patched
// source. They are no shell lines: each is a program with its arguments, in
// which these words stand for values of the board:
//
//	$TRIPLET  GNU triplet of the board, e.g. "i686-linux-gnu"
//	$OUT      folder to install into (DESTDIR)
//	$JOBS     compilers to run at once
//	$OPENSSL  OpenSSL's name of the board's CPU, e.g. "linux-x86"
//
// CC, AR, CFLAGS and their like are in the environment.
type Build struct {
	Needs          []string // recipes whose products it is compiled with, e.g. "musl"
	Steps          [][]string
	Programs       []Program // what goes into the box; none for a library
	RequiresKernel []string  // kernel symbols, without CONFIG_, that the programs call for
}

// Program is a file of $OUT that goes into the box.
type Program struct {
	From string // below $OUT, e.g. "usr/sbin/bird"
	To   string // below the box's root, e.g. "bin/bird"
}

// Words are what may stand for a value in a step.
var Words = []string{"$JOBS", "$OPENSSL", "$OUT", "$TRIPLET"}

type rawBuild struct {
	Needs          []string     `toml:"needs"`
	Steps          [][]string   `toml:"steps"`
	RequiresKernel []string     `toml:"requires-kernel"`
	Program        []rawProgram `toml:"program"`
}

type rawProgram struct {
	From string `toml:"from"`
	To   string `toml:"to"`
}

var (
	wordRE   = regexp.MustCompile(`\$[A-Za-z_]+`)
	symbolRE = regexp.MustCompile(`^[A-Z0-9][A-Za-z0-9_]*$`)
)

func (c *checker) build(raw rawBuild, present bool) Build {
	if !present {
		return Build{}
	}
	b := Build{Needs: raw.Needs, Steps: raw.Steps, RequiresKernel: raw.RequiresKernel}
	c.require(len(b.Steps) > 0, "build: needs at least one of steps", "build")
	for i, n := range b.Needs {
		c.require(partRE.MatchString(n), fmt.Sprintf("needs: %q is not the name of a recipe", n), "build", "needs", fmt.Sprint(i))
	}
	for i, step := range b.Steps {
		at := []string{"build", "steps", fmt.Sprint(i)}
		c.require(len(step) > 0, "steps: a step is a program and its arguments", at...)
		for _, word := range wordRE.FindAllString(strings.Join(step, " "), -1) {
			c.require(slices.Contains(Words, word), fmt.Sprintf("steps: %s is not one of %s", word, strings.Join(Words, ", ")), at...)
		}
	}
	for i, s := range b.RequiresKernel {
		c.require(symbolRE.MatchString(s) && !strings.HasPrefix(s, "CONFIG_"), fmt.Sprintf("requires-kernel: %q is not a symbol, e.g. \"XFRM_USER\"", s), "build", "requires-kernel", fmt.Sprint(i))
	}
	for i, p := range raw.Program {
		at := []string{"build", "program", fmt.Sprint(i)}
		c.require(fs.ValidPath(p.From) && fs.ValidPath(p.To), fmt.Sprintf("program: from %q and to %q are paths without a leading slash", p.From, p.To), at...)
		b.Programs = append(b.Programs, Program(p))
	}
	return b
}
