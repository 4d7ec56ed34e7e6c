package config

import (
	"errors"
	"flag"
	"os"
	"path"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"tench/internal/tomlfile"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestErrors holds each wrong file to the exact words of its errors.
func TestErrors(t *testing.T) {
	const name = "testdata/errors.txtar"
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(archive.Files); n += 2 {
		in, want := archive.Files[n], &archive.Files[n+1]
		t.Run(path.Dir(in.Name), func(t *testing.T) {
			if path.Dir(in.Name) != path.Dir(want.Name) || path.Base(in.Name) != "router.toml" || path.Base(want.Name) != "error" {
				t.Fatalf("%s and %s are no pair of router.toml and error", in.Name, want.Name)
			}
			c, err := Parse("router.toml", in.Data)
			if err == nil {
				t.Fatalf("Parse = %+v, want an error", c)
			}
			if !errors.As(err, new(tomlfile.Problems)) {
				t.Errorf("Parse: error is a %T, want tomlfile.Problems", err)
			}
			got := err.Error() + "\n"
			if *update {
				want.Data = []byte(got)
				return
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("Parse: error (-want +got):\n%s", diff)
			}
		})
	}
	if *update {
		if err := os.WriteFile(name, txtar.Format(archive), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
