package crash

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
)

// part is one record of pstore. A backend with little room splits a crash into
// several, the newest lines in the first.
type part struct {
	name   string
	text   string
	kind   int // crashes first, then the console, then the rest
	number int // of the crash since its boot
	part   int
}

// headRE is the line that the kernel puts before each part of a crash, e.g.
// "Panic#2 Part1".
var headRE = regexp.MustCompile(`(?m)^[A-Za-z-]+#(\d+) Part(\d+)$`)

func newPart(name, text string) part {
	p := part{name: name, text: text, kind: 2}
	switch {
	case strings.HasPrefix(name, "dmesg-"):
		p.kind = 0
	case strings.HasPrefix(name, "console-"):
		p.kind = 1
	}
	if m := headRE.FindStringSubmatch(text); m != nil {
		p.number, _ = strconv.Atoi(m[1])
		p.part, _ = strconv.Atoi(m[2])
	}
	return p
}

func compareParts(a, b part) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.number, b.number), cmp.Compare(b.part, a.part), cmp.Compare(a.name, b.name))
}

// fatal are what a boot ends with, the most telling first; alarms are what a kernel
// may go on after.
var (
	fatal = []*regexp.Regexp{
		regexp.MustCompile(`Kernel panic - not syncing: .*`),
		regexp.MustCompile(`tench: init: panic: .*`),
	}
	alarms = []*regexp.Regexp{
		regexp.MustCompile(`BUG: .*`),
		regexp.MustCompile(`Oops: .*`),
		regexp.MustCompile(`watchdog: .*soft lockup.*`),
	}
)

// last is the last line that has the first of these that is found; "" for none.
func last(reasons []*regexp.Regexp, text string) string {
	for _, re := range reasons {
		if all := re.FindAllString(text, -1); all != nil {
			return strings.TrimSpace(all[len(all)-1])
		}
	}
	return ""
}

// orderlyRE is what a kernel says last when it was told to go down.
var orderlyRE = regexp.MustCompile(`reboot: (Restarting system|Power down|System halted)`)

// unexplained stands for the reason of a reset that left only a console's
// lines. The memory kept them, so the power was on.
const unexplained = "reset without a shutdown, by its watchdog or by hand"

// reason returns why the boot that left these records ended, "" where it ended
// in order.
func reason(text string) string {
	crashed := strings.Contains(text, "== dmesg-")
	if r := last(fatal, text); r != "" {
		return r
	}
	if !crashed && orderlyRE.MatchString(text) {
		return "" // it got over what it complained of
	}
	if r := last(alarms, text); r != "" {
		return r
	}
	switch {
	case crashed:
		return "the kernel crashed"
	case strings.Contains(text, "== console-"):
		return unexplained
	}
	return ""
}

// printable keeps lines and printable ASCII: memory that a reset hurt may hold
// anything.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r >= ' ' && r <= '~':
			return r
		case r == '\r':
			return -1
		}
		return '?'
	}, text)
}
