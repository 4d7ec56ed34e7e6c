package supervisor

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tench/supervisor/health"
	"tench/supervisor/slots"
	"tench/supervisor/update"
)

// confirmRetry is how long PID 1 waits after grubenv could not be written. The
// box works, so it goes on.
const confirmRetry = time.Minute

// slotTrial is what PID 1 knows of the box's health, and whether its slot is on
// trial: the boot loader says so on the command line, so that a slot that does
// not even find the disk knows it.
//
//	        healthy for long enough          grubenv written
//	[on] ------------------------> [confirming] ------------> [off]
//	  |                                 |
//	  | not healthy in its time         | it cannot be written: again in a minute
//	  v                                 v
//	reboot; GRUB counts               [on]
type slotTrial struct {
	on         bool
	confirming bool
	retry      time.Time // not to be confirmed before
	policy     health.Policy
	judge      health.Judge
	reported   bool     // the running loop has said how the network is
	network    []string // what is wrong with it
	menus      map[string]bool
	note       health.Note
}

// loopStarted is called after each start of the loop: what the one before it
// said counts no more.
func (p *pid1) loopStarted() {
	p.pulse.started = time.Now()
	p.trial.judge.Interrupt()
	p.trial.reported = false
}

// menuUp notes that the menu on a port started or ended. A menu shows what is
// written of the health when it starts: that must not be from before.
func (p *pid1) menuUp(port string, up bool) {
	p.trial.menus[port] = up
	p.trial.judge.Interrupt()
	p.look(time.Now())
}

// facts is how the box does at the time now.
func (p *pid1) facts(now time.Time) health.Facts {
	var f health.Facts
	if p.dataErr != nil {
		f.Data = []string{inLine(p.dataErr.Error())}
	}
	switch {
	case p.loop == nil:
		f.Loop = []string{"the network loop waits for the data partition"}
	case p.pulse.cycled.Before(p.pulse.started):
		f.Loop = []string{"the network loop has completed no cycle since it was started"}
	case p.pulse.hung(now):
		f.Loop = []string{"the network loop hangs"}
	case !p.trial.reported:
		f.Loop = []string{"the network loop has not said how the network is"}
	default:
		f.Network = p.trial.network
	}
	for _, port := range p.menusAt.ports {
		if !p.trial.menus[port] {
			f.Console = append(f.Console, "no menu runs on "+port)
		}
	}
	return f
}

// judge looks at the box's health. It returns how to take the box down when it
// is on trial and has failed; nobody else would.
func (p *pid1) judge(now time.Time) (order, bool) {
	t := &p.trial
	v := p.look(now)
	if !t.on {
		return order{}, false
	}
	switch v.Outcome {
	case health.Good:
		p.confirm(now)
	case health.Failed:
		reason := fmt.Sprintf("it was not healthy within %v: %s", t.policy.Within, strings.Join(v.Reasons, "; "))
		return order{
			cause: fmt.Sprintf("slot %s is on trial, and %s", p.args.Slot, reason),
			verb:  "rebooting", cmd: unix.LINUX_REBOOT_CMD_RESTART,
			note: func() {
				if err := noteReason(reason); err != nil {
					alarm("%v", err)
				}
			},
		}, true
	}
	return order{}, false
}

// look says how the box's health is, and writes it down.
func (p *pid1) look(now time.Time) health.Verdict {
	v := p.trial.judge.Look(p.trial.policy, p.facts(now), uptime())
	p.writeNote(v)
	return v
}

// writeNote tells everybody else, when there is something new.
func (p *pid1) writeNote(v health.Verdict) {
	n := health.Note{
		Slot: p.args.Slot, Trial: p.trial.on, Outcome: v.Outcome, Reasons: v.Reasons, Well: len(v.Reasons) == 0,
		For: p.trial.policy.For.String(), Within: p.trial.policy.Within.String(),
		LastTrial: p.past.trial, LastCrash: p.past.crash,
	}
	if reflect.DeepEqual(n, p.trial.note) {
		return
	}
	if p.trial.on && n.Outcome == p.trial.note.Outcome && len(n.Reasons) > 0 {
		p.logf("slot %s on trial: %s", p.args.Slot, strings.Join(n.Reasons, "; "))
	}
	p.trial.note = n
	if err := n.Write(RunDir); err != nil {
		p.logf("%v", err)
	}
}

// confirm makes the running slot the good one, in a goroutine: the disk may be
// slow, and the watchdog is not.
func (p *pid1) confirm(now time.Time) {
	t := &p.trial
	if t.confirming || now.Before(t.retry) {
		return
	}
	t.confirming = true
	boot := p.args
	p.spawn(func() {
		err := confirmSlot(boot)
		var noteErr error
		if err == nil {
			// Notes that cannot be written change nothing: the next boot finds
			// in grubenv how the trial ended.
			noteErr = errors.Join(changeTrial(func(t *slots.Trial) { t.Outcome = slots.Confirmed }),
				update.Confirmed(stateDir(), builtImage().Epoch))
		}
		p.tasks <- func() {
			p.confirmed(err)
			if noteErr != nil {
				p.problem("%v", noteErr)
			}
		}
	})
}

// confirmSlot writes grubenv, which decides.
func confirmSlot(boot slots.Boot) error {
	s, err := slots.OpenBoot(boot)
	if err != nil {
		return err
	}
	return s.Confirm()
}

func (p *pid1) confirmed(err error) {
	t := &p.trial
	t.confirming = false
	switch {
	case err == nil:
		t.on = false
		p.past.trial = slots.Trial{Slot: p.args.Slot, Release: builtImage().Release, Outcome: slots.Confirmed}.String()
		p.logf("slot %s is healthy: it is the good one from now on", p.args.Slot)
	case errors.Is(err, slots.ErrTakenBack):
		t.on = false
		p.logf("slot %s: %v", p.args.Slot, err)
	default:
		t.retry = time.Now().Add(confirmRetry)
		p.problem("slot %s is healthy and cannot be confirmed: %v", p.args.Slot, err)
	}
}

// stateDir holds what PID 1 and the loop remember.
func stateDir() string { return filepath.Join(DataDir, "state") }

// noteReason leaves word of why PID 1 takes a slot on trial down.
func noteReason(reason string) error {
	return changeTrial(func(t *slots.Trial) { t.Reason = reason })
}

// changeTrial changes the trial under way in the history.
func changeTrial(change func(*slots.Trial)) error {
	h, err := slots.ReadHistory(stateDir())
	if err != nil || h.Trial == nil || h.Trial.Outcome != "" {
		return err
	}
	change(h.Trial)
	return h.Write(stateDir())
}
