package console

import (
	"context"
	"errors"
	"strings"
)

const (
	columns  = 79 // many terminals wrap after writing the 80th
	pageRows = 22 // of 24, for the question and what was typed before
)

// page prints a text a screen at a time. Longer lines are folded, and what
// could steer the terminal is replaced.
func (m *Menu) page(ctx context.Context, text string) error {
	rows := 0
	for line := range strings.Lines(text) {
		for _, row := range fold(printable(strings.TrimRight(line, "\n")), columns) {
			if rows == pageRows {
				answer, err := m.ask(ctx, "-- more (enter, q) --")
				if errors.Is(err, errInterrupted) || answer == "q" {
					return nil
				}
				if err != nil {
					return err
				}
				rows = 0
			}
			m.printf("%s\n", row)
			rows++
		}
	}
	return nil
}

// fold cuts a line of ASCII into rows of at most width columns.
func fold(line string, width int) []string {
	var rows []string
	for len(line) > width {
		rows = append(rows, line[:width])
		line = line[width:]
	}
	return append(rows, line)
}
