package supervisor

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"tench/boards"
)

// verdict says how something that board.toml promises is on this box.
type verdict string

const (
	okay    verdict = "ok"
	other   verdict = "OTHER" // there is something else in its place
	missing verdict = "MISSING"
	further verdict = "more" // it is not promised
)

// ports compares the ports on the case with the devices there are.
func (b bundle) ports(board boards.Board) string {
	return table(func(w io.Writer) {
		used := map[string]bool{}
		for _, p := range board.Ports {
			i := slices.IndexFunc(b.found, func(f foundPort) bool { return p.Name != "" && f.name == p.Name || p.Path != "" && f.path == p.Path })
			if i < 0 {
				fmt.Fprintf(w, "%s\t%s\t%s%s\t%s expected\n", missing, p.Label, p.Path, p.Name, p.Driver)
				continue
			}
			f := b.found[i]
			used[f.name] = true
			v := okay
			if p.Driver != "" && f.driver != p.Driver {
				v = other
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s %s, driver %s (%s expected)\n", v, p.Label, p.Path+p.Name, f.name, f.mac, f.driver, p.Driver)
		}
		for _, f := range b.found {
			if !used[f.name] && f.path != "" {
				fmt.Fprintf(w, "%s\t-\t%s\t%s %s, driver %s\n", further, f.path, f.name, f.mac, f.driver)
			}
		}
	})
}

// signals compares the LEDs, buttons and the watchdog of the board with what
// Linux found.
func (b bundle) signals(board boards.Board) string {
	leds := b.names("/sys/class/leds/*")
	var buttons []string
	for _, file := range b.glob("/sys/class/input/input*/name") {
		buttons = append(buttons, b.read(file))
	}
	return table(func(w io.Writer) {
		for _, s := range board.LEDs {
			fmt.Fprintf(w, "%s\tLED %s\t%s\n", presence(leds, s.Device), s.Label, s.Device)
		}
		for _, s := range board.Buttons {
			fmt.Fprintf(w, "%s\tbutton %s\t%s\n", presence(buttons, s.Device), s.Label, s.Device)
		}
		b.watchdog(w, board.Watchdog)
	})
}

// watchdog tells whether there is the watchdog of the board, and whether it has
// the timeout that the board asks for: a driver may take another.
func (b bundle) watchdog(w io.Writer, want boards.Watchdog) {
	if want.Timeout == 0 {
		return // there is no board.toml
	}
	const class = "/sys/class/watchdog"
	expected := fmt.Sprintf("%s with %d s expected", cmp.Or(want.Driver, "any of hardware"), want.Timeout)
	name, identity := chooseWatchdog(filepath.Join(b.root, class), want.Driver)
	if name == "" {
		fmt.Fprintf(w, "%s\twatchdog\t%s\n", missing, expected)
		return
	}
	v := okay
	timeout := b.read(filepath.Join(class, name, "timeout"))
	driven := strings.HasPrefix(strings.ToLower(identity), strings.ToLower(want.Driver))
	if !driven || identity == softDog || timeout != fmt.Sprint(want.Timeout) {
		v = other
	}
	fmt.Fprintf(w, "%s\twatchdog\t%s, %s s (%s)\n", v, identity, timeout, expected)
}

func presence(found []string, name string) verdict {
	if slices.Contains(found, name) {
		return okay
	}
	return missing
}

// glob lists paths of the box.
func (b bundle) glob(pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(b.root, pattern)) // the patterns are ours
	for i, path := range found {
		found[i] = strings.TrimPrefix(path, filepath.Clean(b.root))
	}
	return found
}

// names lists the last parts of paths of the box.
func (b bundle) names(pattern string) []string {
	list := b.glob(pattern)
	for i, path := range list {
		list[i] = filepath.Base(path)
	}
	return list
}

// table aligns what write writes at its tabs.
func table(write func(w io.Writer)) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	write(w)
	w.Flush()
	return text.String()
}
