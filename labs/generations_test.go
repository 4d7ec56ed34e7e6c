package labs

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tench/internal/lab"
	"tench/supervisor/status"
)

// cutOff is loopConfig without the address by which the operator comes.
var cutOff = strings.Replace(loopConfig, `"192.168.77.1/24"`, `"192.168.78.1/24"`, 1)

// operatorBox is a loop that is configured from the network namespace "net",
// over the port lan.
func operatorBox(t *testing.T) *loopBox {
	t.Helper()
	b := newLoopBox(t)
	lab.Run(t, "net", "ip", "addr", "add", "192.168.77.5/24", "dev", "lan")
	b.wantReach(true)
	return b
}

// reach reports whether the operator's machine reaches the box.
func (b *loopBox) reach() bool {
	b.t.Helper()
	out := lab.Run(b.t, "net", "sh", "-c", "ping -c 1 -W 1 192.168.77.1 >/dev/null 2>&1 && echo reached || echo lost")
	return strings.TrimSpace(out) == "reached"
}

func (b *loopBox) wantReach(want bool) {
	b.t.Helper()
	what := "the operator reaches the box"
	if !want {
		what = "the operator is cut off"
	}
	lab.Eventually(b.t, 30*time.Second, what, func() bool { return b.reach() == want })
}

// session runs a command as the SSH door would for a session.
func (b *loopBox) session(id string, args ...string) string {
	b.t.Helper()
	return lab.Run(b.t, "", append([]string{"env", status.SessionEnv + "=" + id, b.program, "--run", filepath.Join(b.dir, "run")}, args...)...)
}

func (b *loopBox) client() status.Client {
	return status.Client{Path: filepath.Join(b.dir, "run", status.SocketName)}
}

// wantGenerations compares number and state of the generations with lines like
// "1 current".
func (b *loopBox) wantGenerations(want ...string) {
	b.t.Helper()
	var list []status.Generation
	out := b.tenchd("generations", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		b.t.Fatalf("tenchd generations --json: %v\n%s", err, out)
	}
	var got []string
	for _, g := range list {
		line := g.State
		if g.Note != "" {
			line += ": " + g.Note
		}
		got = append(got, line)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		b.t.Errorf("generations:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A configuration that removes the address by which the operator came is taken
// back by itself, and the operator reaches the box again.
func TestTrialThatCutsTheOperatorOff(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	b := operatorBox(t)
	out := b.session("anna/1", "apply", b.write(cutOff), "-confirm", "8s")
	for _, want := range []string{"interface lan: address 192.168.77.1/24 goes", "+address = [\"192.168.78.1/24\"", "generation 2 is on trial: 8s left, then generation 1 is back"} {
		if !strings.Contains(out, want) {
			t.Errorf("tenchd apply printed\n%swithout %q", out, want)
		}
	}
	b.wantReach(false)
	b.wantReach(true)
	b.wantGenerations("current", "taken back: it was not confirmed in time")
	if strings.Contains(b.network(), "192.168.78.1") {
		t.Errorf("the address of the trial is still there:\n%s", b.network())
	}
}

// A session that is lost shortens the trial; one of the same operator makes it
// whole again, and may confirm.
func TestSessionOfATrialIsLost(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	b := operatorBox(t)
	b.session("anna/1", "apply", b.write(cutOff)) // 5 minutes, because it comes over SSH
	left := func() time.Duration {
		t.Helper()
		c, err := b.client().Config(t.Context())
		if err != nil || c.Trial == nil {
			t.Fatalf("config: %+v, %v; want one on trial", c, err)
		}
		return c.Trial.TimeLeft()
	}
	tell := func(session string) {
		t.Helper()
		if err := b.client().SessionNews(t.Context(), session, false); err != nil {
			t.Fatal(err)
		}
	}
	const grace = 30 * time.Second
	if left() <= grace {
		t.Errorf("%v left; want minutes", left())
	}
	tell("anna/1")
	if left() > grace {
		t.Errorf("%v left after its session was lost; want at most %v", left(), grace)
	}
	b.session("bert/1", "status")
	if left() > grace {
		t.Errorf("%v left after another operator's session; want at most %v", left(), grace)
	}
	b.session("anna/2", "status")
	if left() <= grace {
		t.Errorf("%v left after its operator was back; want minutes", left())
	}
	tell("anna/2")
	b.session("anna/3", "confirm", "2")
	b.wantGenerations("before", "current")
}

// The loop is killed inside of the window: the one after it starts with the
// generation before. Once it is confirmed, a kill changes nothing.
func TestLoopKilledOnTrial(t *testing.T) {
	if !lab.Isolate(t) {
		return
	}
	b := operatorBox(t)
	b.tenchd("apply", b.write(cutOff), "--confirm", "5m")
	b.wantReach(false)
	b.loop.Kill()
	b.start()
	b.wantReach(true)
	b.wantGenerations("current", "taken back: the network loop ended before it was confirmed")
	if out := b.tenchd("status"); !strings.Contains(strings.Join(strings.Fields(out), " "), "generation 2 was taken back") {
		t.Errorf("tenchd status does not tell of it:\n%s", out)
	}

	b.tenchd("apply", b.write(cutOff), "--confirm", "5m")
	b.wantReach(false)
	b.tenchd("confirm", "3")
	b.loop.Kill()
	b.start()
	lab.Eventually(t, 30*time.Second, "the loop is back", func() bool {
		_, err := b.client().Status(t.Context())
		return err == nil
	})
	if b.reach() || !strings.Contains(b.network(), "192.168.78.1/24") {
		t.Errorf("the confirmed generation is not in force:\n%s", b.network())
	}
	b.tenchd("rollback")
	b.wantReach(true)
	b.wantGenerations("before", "taken back: the network loop ended before it was confirmed", "before", "current: copy of generation 1")
}

// TestBoxRestartsOnTrial cuts a box's power inside of the window, and reboots it
// in order inside of another: both times the generation before is back, and a
// confirmed one stays.
func TestBoxRestartsOnTrial(t *testing.T) {
	// try puts a configuration on trial, which the next one differs from.
	try := func(c *lab.Console, generation, hours string) {
		t.Helper()
		c.Send(t, "(cat /data/config/1/router.toml; echo '[ntp]'; echo 'interval = \""+hours+"h\"') | tenchd apply - -confirm 1h; echo tried-$((1+1))\n")
		c.Expect(t, `generation `+generation+` is on trial: 1h0m0s left(?s:.*)tried-2`, menuTimeout)
	}
	list := func(c *lab.Console, pattern string) {
		t.Helper()
		c.Send(t, "tenchd generations; echo listed-$((1+1))\n")
		c.Expect(t, `(?s)`+pattern+`.*listed-2`, menuTimeout)
	}
	c := boot(t)
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "7\n")
	try(c, "2", "1")
	c.Kill()

	c = lab.Start(t, filepath.Join(lab.Root(t), "bin", "tench"), "run") // on the same disk
	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "7\n")
	list(c, `1 +current.*2 +taken back[^\n]*the box restarted before it was confirmed`)
	try(c, "3", "2")
	c.Send(t, "tenchd confirm\n")
	c.Expect(t, `generation 3 is in force`, menuTimeout)
	try(c, "4", "3")
	c.Send(t, "tenchd reboot\n")
	c.Expect(t, `tench: rebooting`, menuTimeout)

	c.Expect(t, readyLine, bootTimeout)
	c.Send(t, "7\n")
	list(c, `3 +current.*4 +taken back[^\n]*the box restarted before it was confirmed`)
	c.Send(t, "tenchd config | grep interval; echo end-$((1+1))\n")
	c.Expect(t, `interval = "2h"[^\n]*\n(?s:.*)end-2`, menuTimeout)
	c.Send(t, "exit\n")
	powerOff(t, c)
}
