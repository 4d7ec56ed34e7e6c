package release

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const goodBuild = goodRecipe + `
[build]
needs = ["musl", "linux"]
requires-kernel = ["XFRM_USER"]
steps = [
  ["./configure", "--host=$TRIPLET"],
  ["make", "-j$JOBS", "install", "DESTDIR=$OUT"],
]
[[build.program]]
from = "usr/sbin/bird"
to   = "bin/bird"
`

func TestParseBuild(t *testing.T) {
	r, err := Parse("r.toml", "linux", []byte(goodBuild))
	if err != nil {
		t.Fatal(err)
	}
	want := Build{
		Needs: []string{"musl", "linux"}, RequiresKernel: []string{"XFRM_USER"},
		Steps:    [][]string{{"./configure", "--host=$TRIPLET"}, {"make", "-j$JOBS", "install", "DESTDIR=$OUT"}},
		Programs: []Program{{"usr/sbin/bird", "bin/bird"}},
	}
	if diff := cmp.Diff(want, r.Build); diff != "" {
		t.Errorf("Build (-want +got)\n%s", diff)
	}
}

func TestParseBuildErrors(t *testing.T) {
	for name, tc := range map[string]struct{ old, new, want string }{
		"no steps":               {goodBuild[strings.Index(goodBuild, "steps"):strings.Index(goodBuild, "[[build")], "\n", "r.toml:17: build: needs at least one of steps"},
		"empty step":             {`["./configure", "--host=$TRIPLET"]`, `[]`, "r.toml:20: steps: a step is a program and its arguments"},
		"unknown word":           {"$TRIPLET", "$TRIPLE", "r.toml:21: steps: $TRIPLE is not one of $JOBS, $OPENSSL, $OUT, $TRIPLET"},
		"shell":                  {`"-j$JOBS"`, `"$(nproc)$HOME"`, "r.toml:22: steps: $HOME is not one of"},
		"need is a path":         {`"musl"`, `"../musl"`, `r.toml:18: needs: "../musl" is not the name of a recipe`},
		"symbol with prefix":     {`"XFRM_USER"`, `"CONFIG_XFRM_USER"`, `r.toml:19: requires-kernel: "CONFIG_XFRM_USER" is not a symbol`},
		"program out of the box": {`"bin/bird"`, `"../bin/bird"`, `r.toml:24: program: from "usr/sbin/bird" and to "../bin/bird" are paths`},
		"program at the root":    {`"usr/sbin/bird"`, `"/usr/sbin/bird"`, `r.toml:24: program: from "/usr/sbin/bird"`},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodBuild, tc.old, tc.new, 1)
			if text == goodBuild {
				t.Fatalf("%q is not in the recipe", tc.old)
			}
			_, err := Parse("r.toml", "linux", []byte(text))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("Parse = %v\nwant %s…", err, tc.want)
			}
		})
	}
}
