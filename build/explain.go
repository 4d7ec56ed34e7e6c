package build

import (
	"fmt"
	"io"
	"strings"

	"tench/boards"
	"tench/build/cache"
	"tench/release"
)

// Explain prints what each step of the board's last build of the release did,
// and because of which input.
func Explain(w io.Writer, r release.Release, b boards.Board, cacheDir string) error {
	store, err := cache.Open(cacheDir)
	if err != nil {
		return err
	}
	name := historyName(r, b)
	history, err := store.History(name)
	if err != nil {
		return err
	}
	if len(history) == 0 {
		command := "make image BOARD=" + b.Name
		if !r.Default {
			command += " RELEASE=" + r.Name
		}
		return fmt.Errorf("explain %s: it was never built with the cache %s\nhint: %s", name, cacheDir, command)
	}
	last := history[len(history)-1].When
	fmt.Fprintf(w, "%s, built %s:\n", name, last.Local().Format("2006-01-02 15:04:05"))
	before := map[string][]cache.Input{} // a step's inputs in the build before
	for _, r := range history {
		if r.When.Equal(last) {
			fmt.Fprintf(w, "  %-10s %s\n", r.Step, reason(r, before[r.Step]))
		}
		before[r.Step] = r.Inputs
	}
	return nil
}

// reason says in words why a step ran or did not.
func reason(r cache.Record, before []cache.Input) string {
	if r.Hit {
		return "hit: nothing it is made of changed"
	}
	causes := cache.Explain(before, r.Inputs)
	if len(causes) == 0 {
		causes = []string{"its product was gone or damaged"}
	}
	return fmt.Sprintf("built in %.1f s (%.1f s of CPU): %s", r.Took.Seconds(), r.CPU.Seconds(), strings.Join(causes, ", "))
}
