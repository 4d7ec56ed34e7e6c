package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tench/supervisor/crash"
	"tench/supervisor/slots"
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
	found := learn(p.args, stateDir())
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

// learn carries crashes to the folder dir and continues the history of trials.
func learn(boot slots.Boot, dir string) past {
	var found past
	note := func(err error) {
		if err != nil {
			found.errs = append(found.errs, err)
		}
	}
	note(os.MkdirAll(dir, 0o700))
	fresh, err := crash.Collect(crash.Pstore, filepath.Join(dir, crashDir))
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
	next, ended := h.Continue(slots.Start{Boot: boot, Release: builtRelease(), State: st, Crash: crashed})
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

// builtRelease is the release of this image, "" outside of one.
func builtRelease() string {
	text, err := os.ReadFile(buildFile)
	if err != nil {
		return ""
	}
	build, _ := parseBuildInfo(text) // readFiles has told what is wrong with it
	return build.Release
}
