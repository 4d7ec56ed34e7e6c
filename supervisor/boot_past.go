package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tench/release/netboot"
	"tench/supervisor/crash"
	"tench/supervisor/slots"
	"tench/supervisor/update"
)

// crashDir holds what the kernel said when it crashed, below data:/state.
const crashDir = "crash"

// past is what PID 1 finds out about the boots before this one.
type past struct {
	trial string // the last one, in a line; "" for none
	crash string // why the kernel crashed last; "" when it never did
	news  []string
	errs  []error
}

// remember finds out how the boot before this one ended and keeps it, once the
// data partition is there; dataErr tells that it is not. It runs in a goroutine
// of its own: disks are slow.
func (p *pid1) remember(dataErr error) {
	if dataErr != nil {
		return // startLoop tells
	}
	if p.netboot.Mode == netboot.Install {
		return // it has a disk in RAM: the next boot finds the crash
	}
	found := learn(p.args, crash.Pstore, stateDir())
	p.tasks <- func() {
		p.past = found
		for _, n := range found.news {
			p.problem("%s", n)
		}
		for _, err := range found.errs {
			p.problem("%v", err)
		}
	}
}

// learn carries crashes from the folder pstore to dir, and continues the history
// of trials there.
func learn(boot slots.Boot, pstore, dir string) past {
	var found past
	note := func(err error) {
		if err != nil {
			found.errs = append(found.errs, err)
		}
	}
	note(os.MkdirAll(dir, 0o700))
	fresh, err := crash.Collect(pstore, filepath.Join(dir, crashDir))
	note(err)
	if fresh.Reason != "" {
		found.news = append(found.news, "the boot before this one ended with: "+fresh.Reason)
	}
	last, _, err := crash.Last(filepath.Join(dir, crashDir))
	note(err)
	found.crash = last.Reason

	h, ended, err := continueHistory(boot, dir, fresh.Reason)
	note(err)
	if h.Trial != nil {
		found.trial = h.Trial.String()
	}
	if ended {
		found.news = append(found.news, found.trial)
	}
	return found
}

// continueHistory writes this boot into the history of trials, and then takes
// GRUB's note out of grubenv: in the other order a power cut would lose it.
func continueHistory(boot slots.Boot, dir, crashed string) (h slots.History, ended bool, err error) {
	if h, err = slots.ReadHistory(dir); err != nil {
		h = slots.History{} // a damaged one begins anew
	}
	s, openErr := slots.OpenBoot(boot)
	if errors.Is(openErr, slots.ErrNoSlots) {
		return h, false, err // booted from the network
	}
	if openErr != nil {
		return h, false, openErr
	}
	st, stateErr := s.State()
	if stateErr != nil {
		return h, false, stateErr
	}
	build := builtImage()
	next, ended := h.Continue(slots.Start{Boot: boot, Release: build.Release, State: st, Crash: crashed})
	if runsGood(boot, st) {
		err = errors.Join(err, update.Confirmed(dir, build.Epoch))
	}
	if next != h {
		if err := next.Write(dir); err != nil {
			return next, ended, err
		}
	}
	if st.Failed != (slots.Failure{}) {
		if err := s.ForgetFailure(); err != nil {
			return next, ended, fmt.Errorf("%w; the failure of slot %s will be told again", err, st.Failed.Slot)
		}
	}
	return next, ended, err
}

// runsGood reports whether the slot that runs is the one that was confirmed. One
// that somebody picked in GRUB's menu is neither that nor on trial.
func runsGood(boot slots.Boot, st slots.State) bool {
	return !boot.Trial && st.Good == boot.Slot && !(st.Pending && st.Slot == boot.Slot)
}

// builtImage is what this image is; the zero value outside of one.
func builtImage() buildInfo {
	text, err := os.ReadFile(buildFile)
	if err != nil {
		return buildInfo{}
	}
	build, _ := parseBuildInfo(text) // readFiles has told what is wrong with it
	return build
}
