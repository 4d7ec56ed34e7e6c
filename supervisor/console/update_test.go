package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// person types an answer once a question is on the terminal.
type person struct {
	mu      sync.Mutex
	shown   bytes.Buffer
	news    chan struct{}
	answers []struct{ after, line string }
	plug    func() // at the first read: the prompt is there
}

func (p *person) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.news <- struct{}{}:
	default:
	}
	return p.shown.Write(b)
}

func (p *person) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.String()
}

func (p *person) Read(b []byte) (int, error) {
	if p.plug != nil {
		p.plug()
		p.plug = nil
	}
	if len(p.answers) == 0 {
		return 0, io.EOF
	}
	for !strings.Contains(p.text(), p.answers[0].after) {
		<-p.news
	}
	n := copy(b, p.answers[0].line+"\n")
	p.answers = p.answers[1:]
	return n, nil
}

// A stick that is plugged in is asked about in the middle of the prompt; only
// the whole word yes is one.
func TestStick(t *testing.T) {
	for line, updated := range map[string]string{"yes": "/dev/sdb1", "no": "", "": "", "rebyes": "", "y": ""} {
		box := &fakeBox{sticks: make(chan Stick, 1)}
		p := &person{news: make(chan struct{}, 1), plug: func() {
			box.sticks <- Stick{Device: "/dev/sdb1", Text: "release 2026.12 (2026-12-01) for board \x1bapu2"}
		}}
		p.answers = []struct{ after, line string }{{"Type yes:", line}}
		m := Menu{Box: box, Out: p, In: NewInput(p, make(chan struct{}))}
		err := m.Run(t.Context())
		m.In.Close()
		if updated == "" && !errors.Is(err, io.EOF) || updated != "" && err != nil {
			t.Errorf("%q: Run = %v", line, err)
		}
		if got := strings.Join(box.updates, " "); got != updated {
			t.Errorf("%q: updated from %q, want %q", line, got, updated)
		}
		if want := "\n! /dev/sdb1 has release 2026.12 (2026-12-01) for board ?apu2.\n! Write it into the other slot, and reboot into that? Type yes: "; !strings.Contains(p.text(), want) {
			t.Errorf("the terminal shows\n%s", p.text())
		}
	}
}

// A stick whose update is not taken says why, and asks nothing.
func TestStickRefused(t *testing.T) {
	box := &fakeBox{sticks: make(chan Stick, 1)}
	p := &person{news: make(chan struct{}, 1), plug: func() {
		box.sticks <- Stick{Device: "/dev/sdb1", Refused: "ticket: signed by key \x1b0a, which this box does not know\nhint: its keys are 01"}
	}}
	p.answers = []struct{ after, line string }{{"its keys", "yes"}}
	m := Menu{Box: box, Out: p, In: NewInput(p, make(chan struct{}))}
	if err := m.Run(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("Run = %v", err)
	}
	m.In.Close()
	const want = "\n! /dev/sdb1 has an update that this box does not take:\n! ticket: signed by key ?0a, which this box does not know\n! hint: its keys are 01\n"
	if !strings.Contains(p.text(), want) || strings.Contains(p.text(), "Type yes") || len(box.updates) > 0 {
		t.Errorf("updated from %q; the terminal shows\n%s", box.updates, p.text())
	}
}

// standInUpdate stands in for `tenchd update --run DIR …`: it writes until it is
// told to end, and then gives the stick back.
func standInUpdate(args []string) {
	told := make(chan os.Signal, 1)
	signal.Notify(told, unix.SIGTERM)
	fmt.Println("write slot b")
	<-told
	if err := os.WriteFile(filepath.Join(args[3], "unmounted"), nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}

// ctrl-C ends an update in order: a stick would stay mounted otherwise.
func TestInterruptedUpdate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := Live{RunDir: t.TempDir()}
	begun := writer(func(b []byte) (int, error) { cancel(); return len(b), nil })
	if err := l.Update(ctx, "/dev/sdb1", false, begun); !errors.Is(err, context.Canceled) {
		t.Errorf("Update = %v, want that it was interrupted", err)
	}
	if _, err := os.Stat(filepath.Join(l.RunDir, "unmounted")); err != nil {
		t.Errorf("it did not end in order: %v", err)
	}
}

type writer func(b []byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }
