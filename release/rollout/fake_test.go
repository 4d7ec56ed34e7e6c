package rollout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/internal/remote"
	"tench/internal/slottest"
	"tench/release/transfer"
	"tench/supervisor/update"
)

// fakeBox is a box with the real updater behind a line that the test breaks.
type fakeBox struct {
	t       *testing.T
	dir     string
	board   string
	running string
	next    string // armed
	epoch   int64
	release string
	role    string   // in `status --json`; "" for none
	answers []string // to `slots --json`, one a look; "" is no answer. The last stays

	breakAfter int      // bytes that a line lets through before it breaks; 0 for all
	swallow    int      // how often the image gets lost behind the desk, which has sent all of it
	loseDone   int      // how often the answer that the slot is armed gets lost
	speed      int      // bytes a second of the line, on the test's clock; 0 for any
	busy       *os.File // locked by an update whose line broke, for two minutes of the test's clock; nil for none
	clock      *clock
	dials      int
	commands   []string
	received   int64
}

func (b *fakeBox) Running() string { return b.running }

func (b *fakeBox) OnTrial() (bool, error) { return false, nil }

func (b *fakeBox) Vacate() error { return nil }

func (b *fakeBox) Device(slot string) (string, error) { return filepath.Join(b.dir, slot), nil }

func (b *fakeBox) Arm(slot string, _ int) error { b.next = slot; return nil }

// clock is the test's time: it moves when somebody waits.
type clock struct{ now time.Time }

func (c *clock) Pause(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return ctx.Err()
}

const healthyAnswer = `{"running":"b","next":"b","good":"b","pending":false}`

func newFakeBox(t *testing.T, c *clock) *fakeBox {
	t.Helper()
	b := &fakeBox{t: t, dir: t.TempDir(), board: "apu2", running: "a", release: "2026.11", epoch: oldImage.Epoch, clock: c,
		answers: []string{"", `{"running":"a","next":"b","good":"a","pending":true}`, `{"running":"b","next":"b","good":"a","pending":true,"health":{"reasons":["lan is down"]}}`, healthyAnswer}}
	public, _ := slottest.Key(t, 1)
	keys := filepath.Join(b.dir, "identity/update-keys")
	if err := os.MkdirAll(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(keys, "test.pub"), public.Marshal())
	for _, slot := range []string{"a", "b"} {
		write(t, filepath.Join(b.dir, slot), append(oldImage.Bytes(), make([]byte, 400<<10)...))
	}
	return b
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (b *fakeBox) Close() error { return nil }

// Run implements Line.
func (b *fakeBox) Run(ctx context.Context, command string, stdin io.Reader, stdout io.Writer) error {
	b.commands = append(b.commands, command)
	switch word, _, _ := strings.Cut(command, " "); word {
	case "slots":
		answer := b.answers[0]
		if len(b.answers) > 1 {
			b.answers = b.answers[1:]
		}
		if answer == "" {
			return errors.New("connection refused")
		}
		_, err := io.WriteString(stdout, answer)
		return err
	case "status":
		role := ""
		if b.role != "" {
			role = `,"facts":{"role":"` + b.role + `"}`
		}
		_, err := fmt.Fprintf(stdout, `{"name":"gw","children":[{"name":"carp"%s}]}`, role)
		return err
	case "update":
		return b.update(ctx, command, stdin, stdout)
	}
	return errors.New("no such command")
}

func (b *fakeBox) update(ctx context.Context, command string, stdin io.Reader, stdout io.Writer) error {
	u := &update.Updater{Board: b.board, Release: b.release, Epoch: b.epoch, Slots: b, Open: update.OpenDevice,
		Identity: filepath.Join(b.dir, "identity"), State: b.dir, Run: b.dir, Downgrade: strings.Contains(command, "--allow-downgrade"),
		Log: func(string, ...any) {}, Step: func(string, int64, int64) {}, Wait: b.wait}
	if b.swallow > 0 {
		b.swallow--
		stdin = swallower{stdin}
	}
	if b.loseDone > 0 {
		b.loseDone--
		stdout = withoutDone{stdout}
	}
	err := u.Serve(ctx, &slowReader{Reader: stdin, b: b}, stdout, !strings.Contains(command, "--no-reboot"))
	if err != nil {
		return &remote.ExitError{Status: 1, Words: err.Error()}
	}
	return nil
}

// wait is what the box waits with.
func (b *fakeBox) wait(ctx context.Context, d time.Duration) error {
	err := b.clock.Pause(ctx, d)
	if b.busy != nil && b.clock.now.Sub(time.Time{}) >= 2*time.Minute {
		b.busy.Close()
	}
	return err
}

// slowReader is the direction to the box: it takes time on the test's clock, and
// breaks.
type slowReader struct {
	io.Reader
	b    *fakeBox
	read int
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.b.breakAfter > 0 && r.read >= r.b.breakAfter {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := r.Reader.Read(p)
	r.read += n
	r.b.received += int64(n)
	if r.b.speed > 0 {
		r.b.clock.now = r.b.clock.now.Add(time.Duration(n) * time.Second / time.Duration(r.b.speed))
	}
	return n, err
}

// swallower takes the image, and breaks before the box has any of it.
type swallower struct{ io.Reader }

func (s swallower) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if n == 0 || transfer.Kind(p[0]) != transfer.Data {
		return n, err
	}
	for end := (transfer.Message{Kind: transfer.End}).Append(nil); err == nil && !bytes.HasSuffix(p[:n], end); {
		n, err = s.Reader.Read(p)
	}
	return 0, io.ErrUnexpectedEOF
}

// withoutDone is a line from the box that breaks before the answer.
type withoutDone struct{ io.Writer }

func (w withoutDone) Write(p []byte) (int, error) {
	if transfer.Kind(p[0]) == transfer.Done {
		return 0, io.ErrClosedPipe
	}
	return w.Writer.Write(p)
}

// notes keeps what stays on the screen.
type notes struct{ lines []string }

func (n *notes) Start(string, string) {}

func (n *notes) Progress(int64, int64) {}

func (n *notes) Note(host, text string) { n.lines = append(n.lines, host+": "+text) }

// rollOut sends a release with newImage to boxes.
func rollOut(t *testing.T, c *clock, boxes map[string]*fakeBox, hosts []string, change func(o *Options)) ([]Result, *notes, error) {
	t.Helper()
	dir := t.TempDir()
	_, secret := slottest.Key(t, 1)
	slottest.Release(t, dir, secret, newImage)
	n := &notes{}
	o := Options{Source: Source{Path: dir}, Patience: 10 * time.Minute, Report: n, Now: func() time.Time { return c.now }, Pause: c.Pause,
		Dial: func(_ context.Context, host string) (Line, error) {
			b, ok := boxes[host]
			if !ok {
				return nil, errors.New("no such host")
			}
			b.dials++
			return b, nil
		}}
	if change != nil {
		change(&o)
	}
	results, err := All(context.Background(), hosts, o)
	return results, n, err
}

func (b *fakeBox) holdsNew() bool {
	data, err := os.ReadFile(filepath.Join(b.dir, "b"))
	return err == nil && bytes.HasPrefix(data, newImage.Bytes())
}
