package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/internal/remote"
	"tench/release/rollout"
)

// farBox is a box behind a line. Each connection takes the next of its script:
// an error of dialling, or what it answers to each command.
type farBox struct {
	t     *testing.T
	lines []farLine
	now   time.Time
	ran   []string // commands, in order, with "dial" and "close"
	sent  string   // standard input of the last command that had some
}

type farLine struct {
	dial    error
	answers []farAnswer
}

type farAnswer struct {
	command, stdout string
	err             error
}

func (f *farBox) dialBox(context.Context, string) (rollout.Line, error) {
	f.ran = append(f.ran, "dial")
	if len(f.lines) == 0 {
		f.t.Fatal("one dial too many")
	}
	line := f.lines[0]
	if len(f.lines) > 1 || line.dial == nil {
		f.lines = f.lines[1:] // the last error stays
	}
	if line.dial != nil {
		return nil, line.dial
	}
	return &farConn{f, line.answers}, nil
}

type farConn struct {
	f       *farBox
	answers []farAnswer
}

func (c *farConn) Run(_ context.Context, command string, stdin io.Reader, stdout io.Writer) error {
	c.f.ran = append(c.f.ran, command)
	if len(c.answers) == 0 || c.answers[0].command != command {
		c.f.t.Fatalf("the box was told %q; want one of %+v", command, c.answers)
	}
	if stdin != nil {
		data, err := io.ReadAll(stdin)
		if err != nil {
			c.f.t.Fatal(err)
		}
		c.f.sent = string(data)
	}
	a := c.answers[0]
	c.answers = c.answers[1:]
	io.WriteString(stdout, a.stdout)
	return a.err
}

func (c *farConn) Close() error {
	c.f.ran = append(c.f.ran, "close")
	return nil
}

const (
	newText    = "hostname = \"gw1\"\n"
	applyOrder = "apply --json --confirm 5m0s -"
	diffLine   = `{"text":"--- generation 7\n+++ router.toml\n-old\n+new\u001b[2J\n","words":["hostname gw0 -> gw1"]}` + "\n"
	trialLine  = `{"generation":8,"trial":{"generation":8,"back":7,"left":300}}` + "\n"
	doneLine   = `{"generation":8}` + "\n"
)

var (
	applied   = farLine{answers: []farAnswer{{applyOrder, diffLine + trialLine, nil}}}
	confirmed = farLine{answers: []farAnswer{{"confirm --json 8", doneLine, nil}}}
	silent    = farLine{dial: errors.New("ssh: connect: no route to host\nhint: is it up?")}
	cutOff    = farLine{answers: []farAnswer{{"confirm --json 8", "", errors.New("the line is dead")}}}
	broken    = farLine{answers: []farAnswer{{applyOrder, diffLine, errors.New("the line is dead")}}}
)

func TestApplyToABox(t *testing.T) {
	const shown = "--- generation 7\n+++ router.toml\n-old\n+new\ufffd[2J\nhostname gw0 -> gw1\n"
	list := func(state, note string) farAnswer {
		return farAnswer{"generations --json", fmt.Sprintf(`[{"number":7,"state":"current"},{"number":8,"state":%q,"note":%q}]`, state, note), nil}
	}
	for _, tc := range []struct {
		name  string
		lines []farLine
		leave bool
		out   string
		notes string // part of them; "" for none
		err   string // part of it; "" for none
	}{
		{name: "all is well", lines: []farLine{applied, confirmed}, out: shown + "gw0: generation 8 is in force\n"},
		{name: "the box refuses the file", lines: []farLine{{answers: []farAnswer{{applyOrder, "", &remote.ExitError{Status: 1, Words: "router.toml:1: unknown key"}}}}},
			err: "gw0: router.toml:1: unknown key"},
		{name: "nothing changes", lines: []farLine{{answers: []farAnswer{{applyOrder, "{}\n" + `{"generation":7,"same":true}` + "\n", nil}}}},
			out: "gw0: generation 7 is in force; nothing changed\n"},
		{name: "left on trial", leave: true, lines: []farLine{applied},
			out: shown + "gw0: generation 8 is on trial until 14:05:00, then generation 7 is back\n  tench confirm gw0   keeps it\n"},
		{name: "back after a while", lines: []farLine{applied, silent, silent, confirmed}, out: shown + "gw0: generation 8 is in force\n",
			notes: "gw0 cannot be reached any more (ssh: connect: no route to host)\nunless it can again, it takes generation 8 back by itself, at 14:05:00 at the latest; waiting\n"},
		{name: "back when it has taken it back", out: shown, notes: "cannot be reached",
			lines: []farLine{applied, silent, {answers: []farAnswer{{"confirm --json 8", "", &remote.ExitError{Status: 1, Words: "confirm: generation 8 was taken back: the session that applied it was lost"}}}}},
			err:   "gw0: confirm: generation 8 was taken back: the session that applied it was lost"},
		{name: "the line breaks before the change is kept", lines: []farLine{applied, cutOff, silent, confirmed}, out: shown + "gw0: generation 8 is in force\n",
			notes: "gw0: no answer (the line is dead); connecting again\ngw0 cannot be reached any more"},
		{name: "the line breaks when it is kept, and it was", lines: []farLine{applied, cutOff, confirmed}, out: shown + "gw0: generation 8 is in force\n",
			notes: "no answer (the line is dead)"},
		{name: "the line breaks, and the change is taken back", out: shown, notes: "no answer (the line is dead)",
			lines: []farLine{applied, cutOff, {answers: []farAnswer{{"confirm --json 8", "", &remote.ExitError{Status: 1, Words: "confirm: generation 8 was taken back"}}}}},
			err:   "gw0: confirm: generation 8 was taken back"},
		{name: "never back", lines: []farLine{applied, silent}, out: shown, notes: "cannot be reached",
			err: "gw0: reach it again: ssh: connect: no route to host\nhint: is it up?\nhint: the box takes generation 8 back by itself, at 14:05:00 at the latest"},
		{name: "the answer is lost, the change is not", notes: "gw0: no answer (the line is dead); connecting again\n",
			lines: []farLine{broken, silent, {answers: []farAnswer{list("on trial", ""), {"generations show 8", newText, nil}, {"confirm --json 8", doneLine, nil}}}},
			out:   shown + "gw0: generation 8 is in force\n"},
		{name: "the answer is lost, and another's change on trial", notes: "no answer", out: shown,
			lines: []farLine{broken, {answers: []farAnswer{list("on trial", ""), {"generations show 8", "# bert's\n", nil}}}},
			err:   "gw0: generation 8 is on trial; whether it is this one is not known\nhint: tench confirm gw0"},
		{name: "the answer is lost, and the change taken back", notes: "no answer", out: shown,
			lines: []farLine{broken, {answers: []farAnswer{list("taken back", "its session was lost")}}},
			err:   "gw0: it is as it was before: generation 8 was taken back: its session was lost"},
		{name: "the answer is lost, and the next line breaks", notes: "no answer (the line is cut); connecting again\n",
			lines: []farLine{broken, {answers: []farAnswer{{"generations --json", "", errors.New("the line is cut")}}},
				{answers: []farAnswer{list("on trial", ""), {"generations show 8", newText, nil}, {"confirm --json 8", doneLine, nil}}}},
			out: shown + "gw0: generation 8 is in force\n"},
		{name: "an answer that is none", lines: []farLine{{answers: []farAnswer{{applyOrder, "hello\n", nil}}}}, err: "its answer is not understood: \"hello\\n\"\nhint: "},
		{name: "it cannot be reached at first", lines: []farLine{silent}, err: "gw0: ssh: connect: no route to host\nhint: is it up?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &farBox{t: t, lines: tc.lines, now: time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)}
			var out, notes bytes.Buffer
			r := trialRun{host: "gw0", window: 5 * time.Minute, leave: tc.leave, dial: f.dialBox, out: &out, notes: &notes,
				now: func() time.Time { return f.now }, wait: func(_ context.Context, d time.Duration) error { f.now = f.now.Add(d); return nil }}
			err := r.apply(t.Context(), []byte(newText))
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("apply = %v; want %q", err, tc.err)
			}
			if diff := cmp.Diff(tc.out, out.String()); diff != "" {
				t.Errorf("it printed (-want +got):\n%s", diff)
			}
			if !strings.Contains(notes.String(), tc.notes) || (notes.Len() == 0) != (tc.notes == "") {
				t.Errorf("it noted %q; want %q", notes.String(), tc.notes)
			}
			if tc.notes == "" && tc.err == "" && f.sent != newText {
				t.Errorf("the box was sent %q", f.sent)
			}
		})
	}
}

// Whoever gives up is told that the box does not need them.
func TestApplyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &farBox{t: t, lines: []farLine{applied, silent}, now: time.Date(2026, 11, 25, 14, 0, 0, 0, time.UTC)}
	var notes bytes.Buffer
	r := trialRun{host: "gw0", window: 5 * time.Minute, dial: f.dialBox, out: io.Discard, notes: &notes,
		now: func() time.Time { return f.now }, wait: func(context.Context, time.Duration) error { cancel(); return nil }}
	if err := r.apply(ctx, []byte(newText)); !errors.Is(err, context.Canceled) {
		t.Errorf("apply = %v; want %v", err, context.Canceled)
	}
	if want := "gw0 has generation 8 on trial until 14:05:00, and takes it back by itself\n"; !strings.Contains(notes.String(), want) {
		t.Errorf("it noted %q; want %q", notes.String(), want)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	a := bounded{most: maxAnswer}
	if _, err := a.Write(make([]byte, maxAnswer)); err != nil {
		t.Error(err)
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("an answer may be longer than maxAnswer")
	}
}

// The first connection stays until the change is confirmed over the second: the
// box takes back what a lost session applied.
func TestApplyKeepsItsSession(t *testing.T) {
	f := &farBox{t: t, lines: []farLine{applied, confirmed}}
	r := trialRun{host: "gw0", window: 5 * time.Minute, dial: f.dialBox, now: time.Now, out: io.Discard, notes: io.Discard}
	if err := r.apply(t.Context(), []byte(newText)); err != nil {
		t.Fatal(err)
	}
	want := []string{"dial", applyOrder, "dial", "confirm --json 8", "close", "close"}
	if diff := cmp.Diff(want, f.ran); diff != "" {
		t.Errorf("it did (-want +got):\n%s", diff)
	}
}

func TestRollbackOfABox(t *testing.T) {
	for _, tc := range []struct {
		name  string
		n     int
		lines []farLine
		out   string
	}{
		{"a trial ends", 0, []farLine{{answers: []farAnswer{{"rollback --json --confirm 5m0s", `{"generation":7}`, nil}}}}, "gw0: generation 7 is in force\n"},
		{"an old one comes back on trial", 3, []farLine{{answers: []farAnswer{{"rollback --json --confirm 5m0s 3", trialLine, nil}}}, confirmed}, "gw0: generation 8 is in force\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &farBox{t: t, lines: tc.lines}
			var out bytes.Buffer
			r := trialRun{host: "gw0", window: 5 * time.Minute, dial: f.dialBox, now: time.Now, out: &out, notes: io.Discard}
			if err := r.rollback(t.Context(), tc.n); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.out, out.String()); diff != "" {
				t.Errorf("it printed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfirmOnABox(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer farAnswer
		err    string // all of it; "" for none
	}{
		{"kept", farAnswer{"confirm --json", doneLine, nil}, ""},
		{"no trial", farAnswer{"confirm --json", "", &remote.ExitError{Status: 1, Words: "confirm: nothing is on trial"}}, "gw0: confirm: nothing is on trial"},
		{"no answer in time", farAnswer{"confirm --json", "", context.DeadlineExceeded}, "gw0: nothing within 20s"},
		{"an answer that is none", farAnswer{"confirm --json", "hello", nil}, "gw0: its answer is not understood: \"hello\"\nhint: is its tenchd as new as this tench?"},
		{"an answer without a generation", farAnswer{"confirm --json", "{}", nil}, "gw0: its answer is not understood: \"{}\"\nhint: is its tenchd as new as this tench?"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := &farBox{t: t, lines: []farLine{{answers: []farAnswer{tc.answer}}}}
			r := trialRun{host: "gw0", dial: f.dialBox, now: time.Now, out: io.Discard, notes: io.Discard}
			if err := r.keep(t.Context(), 0); (err == nil) != (tc.err == "") || err != nil && err.Error() != tc.err {
				t.Errorf("keep = %v; want %q", err, tc.err)
			}
		})
	}
}
