package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tench/supervisor/status"
)

// editor changes a text line by line. Nothing reaches the box before apply, and
// apply does nothing with a text that has a mistake.
type editor struct {
	m       *Menu
	lines   []string
	changed bool // since the last apply
}

const editorHelp = `p [N[-M]]  print all, line N, or lines N to M
r N        replace line N
i N        insert after line N, until a line that is a single "."; 0 is the top
d N[-M]    delete line N, or lines N to M
w          write the whole file anew, until a line that is a single "."
c          check, say what changes, and change nothing
apply      check, store, and put in force
try [TIME] the same on trial, for 5m or TIME; "confirm" keeps it
confirm    keep what is on trial
rollback   end the trial; without one, back to the generation before
q          back to the menu
`

func (m *Menu) edit(ctx context.Context) error {
	var c status.Config
	err := m.In.Interruptible(ctx, func(ctx context.Context) (err error) {
		c, err = m.Box.Config(ctx)
		return err
	})
	if err != nil {
		return err
	}
	e := &editor{m: m}
	e.set(c.Text)
	m.printf("router.toml, generation %d, lines: %d. ? is help, p prints.\n", c.Generation, len(e.lines))
	if c.Problem != "" {
		m.printError(errors.New(c.Problem))
	}
	if c.Newest != "" {
		e.set(c.Newest)
		e.changed = true
		m.printf("That one stays in force; the newest file is here to be mended, p prints it.\n")
	}
	if c.Trial != nil {
		m.printf("%v\n\"confirm\" keeps it\n", *c.Trial)
	}
	return e.run(ctx)
}

// set takes a file's text.
func (e *editor) set(text string) {
	e.lines = nil
	for line := range strings.Lines(text) {
		e.lines = append(e.lines, strings.TrimRight(line, "\r\n"))
	}
}

func (e *editor) text() string {
	if len(e.lines) == 0 {
		return ""
	}
	return strings.Join(e.lines, "\n") + "\n"
}

func (e *editor) run(ctx context.Context) error {
	for {
		line, err := e.m.ask(ctx, "edit> ")
		if errors.Is(err, errInterrupted) {
			continue
		}
		if err != nil {
			return err
		}
		leave, err := e.do(ctx, line)
		switch {
		case errors.Is(err, errInterrupted):
			e.m.printf("stopped\n")
		case errors.Is(err, errUsage):
			e.m.printError(err)
		case err != nil:
			return err
		case leave:
			return nil
		}
	}
}

// errUsage is in the chain of what the person at the terminal can mend; any
// other error ends the editor.
var errUsage = errors.New("? is help")

func usage(format string, args ...any) error {
	return fmt.Errorf("%s; %w", fmt.Sprintf(format, args...), errUsage)
}

// do runs one command and reports whether it was the last one.
func (e *editor) do(ctx context.Context, line string) (leave bool, err error) {
	verb, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch verb {
	case "":
		return false, nil
	case "?":
		return false, e.m.page(ctx, editorHelp)
	case "p":
		return false, e.print(ctx, rest)
	case "r":
		return false, e.replace(ctx, rest)
	case "i":
		return false, e.insert(ctx, rest)
	case "d":
		return false, e.delete(rest)
	case "w":
		return false, e.write(ctx)
	case "c":
		return false, e.check(ctx)
	case "apply":
		return false, e.apply(ctx, e.m.Box.Window())
	case "try":
		return false, e.try(ctx, rest)
	case "confirm":
		return false, e.confirm(ctx)
	case "rollback":
		return false, e.rollback(ctx)
	case "q":
		return e.quit(ctx)
	}
	return false, usage("%q is no command", verb)
}

func (e *editor) print(ctx context.Context, which string) error {
	first, last := 1, len(e.lines)
	if which != "" {
		var err error
		if first, last, err = e.lineRange(which); err != nil {
			return err
		}
	}
	var b strings.Builder
	for n := first; n <= last; n++ {
		for i, row := range fold(printable(strings.ReplaceAll(e.lines[n-1], "\t", "  ")), columns-6) {
			head := "   +"
			if i == 0 {
				head = fmt.Sprintf("%4d", n)
			}
			b.WriteString(strings.TrimRight(head+"  "+row, " ") + "\n")
		}
	}
	return e.m.page(ctx, b.String())
}

func (e *editor) replace(ctx context.Context, which string) error {
	n, err := e.lineNumber(which, 1)
	if err != nil {
		return err
	}
	e.m.printf("%4d  %s\n", n, printable(e.lines[n-1]))
	e.m.printf("%4d  ", n)
	line, err := e.m.In.Line(ctx)
	if err != nil {
		return err
	}
	e.lines[n-1], e.changed = line, true
	return nil
}

func (e *editor) insert(ctx context.Context, which string) error {
	n, err := e.lineNumber(which, 0)
	if err != nil {
		return err
	}
	lines, err := e.read(ctx, n)
	if err != nil {
		return err
	}
	e.lines, e.changed = slices.Insert(e.lines, n, lines...), true
	return nil
}

func (e *editor) delete(which string) error {
	first, last, err := e.lineRange(which)
	if err != nil {
		return err
	}
	e.lines, e.changed = slices.Delete(e.lines, first-1, last), true
	return nil
}

func (e *editor) write(ctx context.Context) error {
	e.m.printf("paste the whole file, then a line with a single \".\"; ctrl-C keeps the old one\n")
	lines, err := e.read(ctx, 0)
	if err != nil {
		return err
	}
	e.lines, e.changed = lines, true
	e.m.printf("lines: %d\n", len(lines))
	return nil
}

// maxLines bounds a pasted file; no router.toml that can be applied is longer.
const maxLines = 20000

// read takes lines until a single ".", each asked for with the number that it
// will have behind line after.
func (e *editor) read(ctx context.Context, after int) ([]string, error) {
	var lines []string
	for {
		e.m.printf("%4d  ", after+len(lines)+1)
		line, err := e.m.In.Line(ctx)
		if err != nil {
			return nil, err
		}
		if line == "." {
			return lines, nil
		}
		if len(lines) == maxLines {
			return nil, usage("that is more than %d lines", maxLines)
		}
		lines = append(lines, line)
	}
}

func (e *editor) check(ctx context.Context) error {
	var d status.Difference
	err := e.m.In.Interruptible(ctx, func(ctx context.Context) (err error) {
		d, err = e.m.Box.Compare(ctx, 0, 0, e.text())
		return err
	})
	if err != nil {
		return e.show(ctx, err)
	}
	var b strings.Builder
	_ = d.Print(&b) // into memory
	if b.Len() == 0 {
		e.m.printf("no mistakes; it is what is in force\n")
		return nil
	}
	if err := e.m.page(ctx, b.String()); err != nil {
		return err
	}
	e.m.printf("no mistakes; \"apply\" puts it in force, \"try\" does on trial\n")
	return nil
}

// try applies on trial, for the time that is given.
func (e *editor) try(ctx context.Context, text string) error {
	window := status.DefaultTrial
	if text != "" {
		var err error
		if window, err = time.ParseDuration(text); err != nil {
			return usage("%q is not a time, e.g. 10m", text)
		}
		if err := (status.Change{Trial: window}).Check(); err != nil || window == 0 {
			return usage("a trial takes %v to %v", status.MinTrial, status.MaxTrial)
		}
	}
	return e.apply(ctx, window)
}

func (e *editor) apply(ctx context.Context, window time.Duration) error {
	// Not interruptible: what is half told cannot be taken back.
	o, err := e.m.Box.Apply(ctx, status.Change{Text: e.text(), Trial: window})
	if err == nil {
		e.changed = false
		e.m.printf("%v\n", o)
	}
	return e.show(ctx, err)
}

func (e *editor) confirm(ctx context.Context) error {
	o, err := e.m.Box.Confirm(ctx, 0)
	if err == nil {
		e.m.printf("%v\n", o)
	}
	return e.show(ctx, err)
}

// rollback also takes the text of what is in force then, unless there are
// changes that would be lost.
func (e *editor) rollback(ctx context.Context) error {
	o, err := e.m.Box.Rollback(ctx, 0, status.Change{Trial: e.m.Box.Window()})
	if err != nil {
		return e.show(ctx, err)
	}
	e.m.printf("%v\n", o)
	c, err := e.m.Box.Config(ctx)
	if err == nil && !e.changed {
		e.set(c.Text)
	}
	return e.show(ctx, err)
}

// show prints an error of the box, and passes on only what ends the editor.
func (e *editor) show(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, errInterrupted) || ctx.Err() != nil {
		return err
	}
	e.m.printError(err)
	return nil
}

func (e *editor) quit(ctx context.Context) (leave bool, err error) {
	if !e.changed {
		return true, nil
	}
	return e.m.confirm(ctx, "The changes are not applied. Drop them?")
}

// lineNumber reads the number of a line that is there; low is 1, or 0 where the
// place before the first line is meant too.
func (e *editor) lineNumber(which string, low int) (int, error) {
	n, err := strconv.Atoi(which)
	if err != nil || n < low || n > len(e.lines) {
		return 0, usage("%q is not a line from %d to %d", which, low, len(e.lines))
	}
	return n, nil
}

// lineRange reads "N" or "N-M".
func (e *editor) lineRange(which string) (first, last int, err error) {
	from, to, both := strings.Cut(which, "-")
	if first, err = e.lineNumber(strings.TrimSpace(from), 1); err != nil {
		return 0, 0, err
	}
	last = first
	if both {
		if last, err = e.lineNumber(strings.TrimSpace(to), first); err != nil {
			return 0, 0, err
		}
	}
	return first, last, nil
}
