// Package console is the menu on a serial port: the way in when the line is
// down.
//
//	menu.go    Menu: the numbered choices
//	input.go   lines and ctrl-C from the terminal
//	pager.go   long texts, a screen at a time
//	editor.go  editing router.toml line by line
//	box.go     Box, what the menu can do; Live, the real one
//	log.go     reading and following the log
//	port.go    Run: a menu on a serial port, through unplug and replug
//	tty.go     termios
//	slots.go   the two slots: what they are, and choosing one
//	update.go  an update from a stick or the network
//
// It works on a dumb terminal at 9600 baud: lines of printable ASCII of at most
// 79 columns, no escape sequences, line editing by the kernel, and nothing is
// drawn unless asked for. It needs no network and no loop: what needs the loop
// says so when it does not answer.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"tench/supervisor/status"
)

// Menu talks with one person.
type Menu struct {
	Box    Box
	In     *Input
	Out    io.Writer
	Locked bool // router.toml or the board does not trust whoever holds the cable

	said string // the answer to the next question, when it was given beforehand
}

// choice is one line of the menu. One that asks takes the answer to its first
// question behind its name, too: "why wan".
type choice struct {
	key, word string
	run       func(ctx context.Context) error
	asks      bool
}

func (m *Menu) choices() []choice {
	return []choice{
		{"1", "status", m.status, false},
		{"2", "interfaces", m.interfaces, false},
		{"3", "why", m.why, true},
		{"4", "log", m.log, true},
		{"5", "configuration", m.edit, false},
		{"6", "ping", m.ping, true},
		{"7", "shell", m.shell, false},
		{"8", "reboot", m.reboot, false},
		{"9", "power off", m.powerOff, false},
		{"s", "slots", m.slots, false},
		{"u", "update", m.update, true},
	}
}

// errLeave ends the menu because the box goes down.
var errLeave = errors.New("the box goes down")

// Run shows the menu and does what is chosen. It returns nil once the box was
// told to go down, io.EOF or another error when the terminal is gone, and ctx's
// error when that ended.
func (m *Menu) Run(ctx context.Context) error {
	if m.Locked {
		return m.runLocked(ctx)
	}
	err := m.serve(ctx)
	if errors.Is(err, errLeave) {
		return nil
	}
	return err
}

func (m *Menu) serve(ctx context.Context) error {
	m.draw(ctx)
	for {
		line, stick, err := m.prompt(ctx)
		switch {
		case errors.Is(err, errInterrupted):
			continue
		case err != nil:
			return err
		case line != "" && line != "m":
			err = m.choose(ctx, line)
		case stick == nil:
			m.draw(ctx)
		}
		if err == nil && stick != nil {
			err = m.end(ctx, m.offer(ctx, *stick))
		}
		if err != nil {
			return err
		}
	}
}

// choose runs the choice that line names. Its error ends the menu.
func (m *Menu) choose(ctx context.Context, line string) error {
	name, said, _ := strings.Cut(line, " ")
	for _, c := range m.choices() {
		switch {
		case c.called(line):
		case c.asks && c.called(name):
			m.said = strings.TrimSpace(said)
		default:
			continue
		}
		return m.end(ctx, c.run(ctx))
	}
	m.printf("%q is not in the menu; enter shows it\n", line)
	return nil
}

func (c choice) called(name string) bool { return name == c.key || strings.EqualFold(name, c.word) }

// end shows how a choice ended. Its error ends the menu.
func (m *Menu) end(ctx context.Context, err error) error {
	switch {
	case err == nil:
	case errors.Is(err, errInterrupted):
		m.printf("stopped\n")
	case errors.Is(err, errLeave), errors.Is(err, io.EOF), ctx.Err() != nil:
		return err
	default:
		m.printError(err)
	}
	return nil
}

// runLocked tells how to unlock the console. There is no login on it.
func (m *Menu) runLocked(ctx context.Context) error {
	for {
		m.printf("\n%s\nThis console is locked.\n"+
			"To unlock it, write an image whose router.toml has \"trusted = true\" below\n"+
			"[console].\n", m.Box.Title())
		if _, err := m.In.Line(ctx); err != nil && !errors.Is(err, errInterrupted) {
			return err
		}
	}
}

// drawWait is how long the menu waits for the loop before it is shown all the
// same.
const drawWait = 2 * time.Second

func (m *Menu) draw(ctx context.Context) {
	m.printf("\n%s\n", m.Box.Title())
	quick, cancel := context.WithTimeout(ctx, drawWait)
	defer cancel()
	c, err := m.Box.Config(quick)
	switch {
	case err != nil:
		m.printf("! the network loop does not answer, see 4\n")
	case c.Problem != "":
		first, _, _ := strings.Cut(c.Problem, "\n")
		m.printf("! router.toml needs to be mended, see 5:\n! %s\n", first)
	case c.Trial != nil:
		m.printf("! %v\n! 5, then \"confirm\" keeps it\n", *c.Trial)
	}
	if trial := m.Box.Trial(); trial != "" {
		m.printf("! %s\n", trial)
	}
	choices := m.choices()
	const across = 3
	rows := (len(choices) + across - 1) / across
	for row := range rows {
		line := ""
		for i := row; i < len(choices); i += rows {
			line += fmt.Sprintf(" %s %-16s", choices[i].key, choices[i].word)
		}
		m.printf("%s\n", strings.TrimRight(line, " "))
	}
}

// ask prints a question and returns the answer without the spaces around it. What
// was said beforehand is not asked for.
func (m *Menu) ask(ctx context.Context, question string) (string, error) {
	if said := m.said; said != "" {
		m.said = ""
		return said, nil
	}
	m.In.Forget()
	m.printf("%s", question)
	line, err := m.In.Line(ctx)
	if errors.Is(err, errInterrupted) {
		m.printf("\n")
	}
	return strings.TrimSpace(line), err
}

// confirm asks for the word yes; anything else is no.
func (m *Menu) confirm(ctx context.Context, question string) (bool, error) {
	answer, err := m.ask(ctx, question+" Type yes: ")
	return answer == "yes", err
}

func (m *Menu) printf(format string, args ...any) {
	// A terminal that is gone is noticed by the next read.
	_, _ = fmt.Fprintf(m.Out, format, args...)
}

// printError shows an error that may have several lines and a hint.
func (m *Menu) printError(err error) {
	for line := range strings.Lines(err.Error()) {
		m.printf("%s\n", printable(strings.TrimRight(line, "\n")))
	}
}

func (m *Menu) status(ctx context.Context) error {
	root, err := m.tree(ctx)
	if err != nil {
		return err
	}
	var b strings.Builder
	if err := status.Print(&b, root); err != nil {
		return err
	}
	return m.page(ctx, b.String())
}

func (m *Menu) interfaces(ctx context.Context) error {
	text, err := m.Box.Interfaces()
	if err != nil {
		return err
	}
	return m.page(ctx, text)
}

func (m *Menu) why(ctx context.Context) error {
	name, err := m.ask(ctx, "name, as in status [all]: ")
	if err != nil {
		return err
	}
	if name == "" {
		root, err := m.tree(ctx)
		if err != nil {
			return err
		}
		name = root.Name
	}
	var lines []string
	err = m.In.Interruptible(ctx, func(ctx context.Context) (err error) {
		lines, err = m.Box.Why(ctx, name)
		return err
	})
	if err != nil {
		return err
	}
	return m.page(ctx, strings.Join(lines, "\n")+"\n")
}

// tree asks for the status; ctrl-C gives up on a loop that hangs.
func (m *Menu) tree(ctx context.Context) (root status.Node, err error) {
	err = m.In.Interruptible(ctx, func(ctx context.Context) (err error) {
		root, err = m.Box.Status(ctx)
		return err
	})
	return root, err
}

// logLines is how much of the log is shown unless it is followed.
const logLines = 100

func (m *Menu) log(ctx context.Context) error {
	how, err := m.ask(ctx, "enter for the last lines, f to follow: ")
	if err != nil {
		return err
	}
	if how == "f" {
		m.printf("ctrl-C stops\n")
		return m.In.Interruptible(ctx, func(ctx context.Context) error {
			return m.Box.FollowLog(ctx, m.Out)
		})
	}
	text, err := m.Box.Log(logLines)
	if err != nil {
		return err
	}
	return m.page(ctx, text)
}

// hostRE is what may be pinged: a name or an address, never an option.
var hostRE = regexp.MustCompile(`^[0-9A-Za-z:][0-9A-Za-z.:_%-]*$`)

func (m *Menu) ping(ctx context.Context) error {
	host, err := m.ask(ctx, "address or name: ")
	if err != nil || host == "" {
		return err
	}
	if !hostRE.MatchString(host) {
		return fmt.Errorf("ping: %q is neither an address nor a name", host)
	}
	m.printf("ctrl-C stops\n")
	return m.In.Interruptible(ctx, func(ctx context.Context) error {
		return m.Box.Ping(ctx, host, m.Out)
	})
}

func (m *Menu) shell(ctx context.Context) error {
	m.printf("\"exit\" comes back to the menu\n")
	return m.Box.Shell(ctx)
}

func (m *Menu) reboot(ctx context.Context) error {
	return m.goDown(ctx, "Reboot the box?", m.Box.Reboot)
}

func (m *Menu) powerOff(ctx context.Context) error {
	return m.goDown(ctx, "Power off the box? Someone must be there to switch it on.", m.Box.PowerOff)
}

func (m *Menu) goDown(ctx context.Context, question string, do func() error) error {
	yes, err := m.confirm(ctx, question)
	if err != nil || !yes {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return errLeave
}

// printable replaces what could steer the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
