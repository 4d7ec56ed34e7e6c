package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tench/internal/remote"
	"tench/release/rollout"
)

// refusal is what a command on the box said when it was not content, as opposed
// to a line that broke.
type refusal struct{ words string }

func (r refusal) Error() string { return r.words }

// How long things may take; the box's own deadline holds whatever we do.
const (
	// answerTime is for the answer to a change. A change that cuts the line takes
	// the answer with it.
	answerTime = 20 * time.Second
	// redial is the pause between two tries to reach the box again.
	redial = 2 * time.Second
	// backTime is how long after the deadline we still look for the box that has
	// taken its configuration back by then.
	backTime = 30 * time.Second
	// minWindow is the shortest trial: the box must be reached again inside.
	minWindow = 20 * time.Second
)

// trialRun changes a box's configuration on trial, and keeps the change only
// when the box can be reached by a new connection.
type trialRun struct {
	host   string
	window time.Duration // of the trial
	leave  bool          // do not confirm
	dial   func(ctx context.Context, host string) (rollout.Line, error)
	now    func() time.Time
	wait   func(ctx context.Context, d time.Duration) error
	out    io.Writer // what changes, and the end
	notes  io.Writer // what is waited for
}

// difference and outcome are lines of JSON of the box's tenchd.
type difference struct {
	Text  string   `json:"text"`
	Words []string `json:"words"`
}

type outcome struct {
	Generation int  `json:"generation"`
	Same       bool `json:"same"`
	Trial      *struct {
		Back int `json:"back"`
		Left int `json:"left"` // seconds
	} `json:"trial"`
}

// apply hands a router.toml to the box.
func (r trialRun) apply(ctx context.Context, text []byte) error {
	return r.run(ctx, fmt.Sprintf("apply --json --confirm %v -", r.window), text)
}

// rollback ends a trial on the box, or brings generation n back; 0 is the one
// before the current one.
func (r trialRun) rollback(ctx context.Context, n int) error {
	command := fmt.Sprintf("rollback --json --confirm %v", r.window)
	if n > 0 {
		command += fmt.Sprintf(" %d", n)
	}
	return r.run(ctx, command, nil)
}

// run gives the order over one connection, keeps that open, because the box
// takes back what a lost session applied, and confirms over another one.
func (r trialRun) run(ctx context.Context, command string, text []byte) error {
	first, err := r.dial(ctx, r.host)
	if err != nil {
		return fmt.Errorf("%s: %w", r.host, err)
	}
	defer first.Close()
	asked := r.now()
	o, err := r.order(ctx, first, command, text)
	var refused refusal
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("%s: %w", r.host, refused)
	case ctx.Err() != nil:
		fmt.Fprintf(r.notes, "%s may have it on trial, and takes it back by itself\n", r.host)
		return ctx.Err()
	case err != nil:
		return r.resume(ctx, asked.Add(r.window), text, err)
	case o.Same:
		fmt.Fprintf(r.out, "%s: generation %d is in force; nothing changed\n", r.host, o.Generation)
		return nil
	case o.Trial == nil:
		fmt.Fprintf(r.out, "%s: generation %d is in force\n", r.host, o.Generation)
		return nil
	}
	end := r.now().Add(time.Duration(o.Trial.Left) * time.Second)
	if r.leave {
		fmt.Fprintf(r.out, "%s: generation %d is on trial until %s, then %s is back\n  tench confirm %s   keeps it\n",
			r.host, o.Generation, clockTime(end), generationName(o.Trial.Back), r.host)
		return nil
	}
	return r.settle(ctx, o.Generation, end, func(again rollout.Line) error { return r.confirm(ctx, again, o.Generation) })
}

// settle reaches the box again and does what decides the trial, once more when
// the line breaks meanwhile.
func (r trialRun) settle(ctx context.Context, generation int, end time.Time, decide func(rollout.Line) error) error {
	for {
		again, err := r.reach(ctx, generation, end)
		if err != nil {
			return err
		}
		err = decide(again)
		again.Close()
		var broke lineError
		if !errors.As(err, &broke) || ctx.Err() != nil || r.now().After(end.Add(backTime)) {
			return err
		}
		fmt.Fprintf(r.notes, "%s: no answer (%v); connecting again\n", r.host, broke.cause)
		_ = r.wait(ctx, redial) // when ctx ends, the next try says so
	}
}

// lineError is a command on the box whose answer did not come.
type lineError struct{ cause error }

func (e lineError) Error() string { return e.cause.Error() }
func (e lineError) Unwrap() error { return e.cause }

// ask runs a command on the box and returns what it answers. The error of a line
// that broke is a lineError.
func ask(ctx context.Context, b rollout.Line, command string) ([]byte, error) {
	said := bounded{most: maxAnswer}
	err := b.Run(ctx, command, nil, &said)
	var exit *remote.ExitError
	switch {
	case err == nil:
		return said.Bytes(), nil
	case errors.As(err, &exit):
		return nil, err
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("nothing within %v", answerTime)
	}
	return nil, lineError{err} // what still comes goes into said
}

// notUnderstood is the error of an answer that is not what tenchd says.
func notUnderstood(said []byte) error {
	return refusal{fmt.Sprintf("its answer is not understood: %.200q\nhint: is its tenchd as new as this tench?", said)}
}

// maxAnswer bounds what a box may answer, in bytes: a router.toml of the largest
// size, and all of it once more as a difference in JSON.
const maxAnswer = 4 << 20

// order runs a command that changes the configuration, and prints the
// difference if the box tells one.
func (r trialRun) order(ctx context.Context, b rollout.Line, command string, text []byte) (outcome, error) {
	short, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	said := bounded{most: maxAnswer}
	runErr := b.Run(short, command, bytes.NewReader(text), &said)
	if short.Err() != nil {
		return outcome{}, fmt.Errorf("nothing within %v", answerTime) // what still comes goes into said
	}
	var o outcome
	found := false
	for line := range bytes.Lines(said.Bytes()) {
		if !bytes.Contains(line, []byte(`"generation"`)) || json.Unmarshal(line, &o) != nil || o.Generation == 0 {
			r.printDifference(line)
			continue
		}
		found = true
	}
	var exit *remote.ExitError
	if errors.As(runErr, &exit) {
		return outcome{}, refusal{exit.Error()}
	}
	if runErr != nil {
		return outcome{}, runErr
	}
	if !found {
		return outcome{}, notUnderstood(said.Bytes())
	}
	return o, nil
}

// printDifference prints a line of JSON that is a difference; the box's text is
// kept from steering the terminal.
func (r trialRun) printDifference(line []byte) {
	var d difference
	if json.Unmarshal(line, &d) != nil {
		return
	}
	for _, text := range append(strings.Split(strings.TrimSuffix(d.Text, "\n"), "\n"), d.Words...) {
		if text != "" {
			fmt.Fprintln(r.out, printable(text))
		}
	}
}

// reach connects to the box again, and tries for as long as that can help.
func (r trialRun) reach(ctx context.Context, generation int, end time.Time) (rollout.Line, error) {
	told := false
	for {
		b, err := r.dial(ctx, r.host)
		if err == nil {
			return b, nil
		}
		if ctx.Err() != nil {
			fmt.Fprintf(r.notes, "%s has %s on trial until %s, and takes it back by itself\n  tench confirm %s   keeps it\n",
				r.host, generationName(generation), clockTime(end), r.host)
			return nil, ctx.Err()
		}
		if r.now().After(end.Add(backTime)) {
			return nil, fmt.Errorf("%s: reach it again: %w\nhint: the box takes %s back by itself, at %s at the latest; it needs no help for that",
				r.host, err, generationName(generation), clockTime(end))
		}
		if !told {
			told = true
			cause, _, _ := strings.Cut(err.Error(), "\n")
			fmt.Fprintf(r.notes, "%s cannot be reached any more (%s)\nunless it can again, it takes %s back by itself, at %s at the latest; waiting\n",
				r.host, cause, generationName(generation), clockTime(end))
		}
		_ = r.wait(ctx, redial) // when ctx ends, the next try says so
	}
}

// keep confirms what the box has on trial; 0 is whichever that is.
func (r trialRun) keep(ctx context.Context, generation int) error {
	b, err := r.dial(ctx, r.host)
	if err != nil {
		return fmt.Errorf("%s: %w", r.host, err)
	}
	defer b.Close()
	return r.confirm(ctx, b, generation)
}

// confirm keeps the generation, if it is still the one on trial.
func (r trialRun) confirm(ctx context.Context, b rollout.Line, generation int) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	command := "confirm --json"
	if generation > 0 {
		command += fmt.Sprintf(" %d", generation)
	}
	var o outcome
	said, err := ask(ctx, b, command)
	if err == nil && (json.Unmarshal(said, &o) != nil || o.Generation == 0) {
		err = notUnderstood(said)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.host, err)
	}
	fmt.Fprintf(r.out, "%s: generation %d is in force\n", r.host, o.Generation)
	return nil
}

// resume goes on when the line broke before the answer came: the box may have
// applied the change or not.
func (r trialRun) resume(ctx context.Context, end time.Time, text []byte, cause error) error {
	fmt.Fprintf(r.notes, "%s: no answer (%v); connecting again\n", r.host, cause)
	return r.settle(ctx, 0, end, func(again rollout.Line) error { return r.findOut(ctx, again, text) })
}

// findOut keeps the change if the box has it on trial, and otherwise says what
// became of it.
func (r trialRun) findOut(ctx context.Context, again rollout.Line, text []byte) error {
	var list []struct {
		Number int    `json:"number"`
		State  string `json:"state"`
		Note   string `json:"note"`
	}
	said, err := ask(ctx, again, "generations --json")
	if err == nil && json.Unmarshal(said, &list) != nil {
		err = notUnderstood(said)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", r.host, err)
	}
	for _, g := range list {
		if g.State != "on trial" {
			continue
		}
		its, err := ask(ctx, again, fmt.Sprintf("generations show %d", g.Number))
		if err != nil {
			return fmt.Errorf("%s: %w", r.host, err)
		}
		if r.leave || text == nil || !bytes.Equal(its, text) {
			return fmt.Errorf("%s: generation %d is on trial; whether it is this one is not known\nhint: tench confirm %s keeps it, else it is taken back by itself", r.host, g.Number, r.host)
		}
		return r.confirm(ctx, again, g.Number)
	}
	why := ""
	if len(list) > 0 && list[len(list)-1].State == "taken back" {
		why = fmt.Sprintf(": generation %d was taken back: %s", list[len(list)-1].Number, printable(list[len(list)-1].Note))
	}
	return fmt.Errorf("%s: it is as it was before%s", r.host, why)
}

func generationName(n int) string {
	if n == 0 {
		return "the change"
	}
	return fmt.Sprintf("generation %d", n)
}

// clockTime is a time of today on the desk's clock.
func clockTime(t time.Time) string { return t.Format(time.TimeOnly) }
