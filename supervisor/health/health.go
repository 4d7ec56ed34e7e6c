// Package health judges whether a box that was just started is well. PID 1 asks
// it once a second, and confirms a slot that is on trial or reboots by what it
// says.
//
//	health.go  Facts, Policy, Judge, Verdict
//	note.go    Note: what PID 1 tells everybody else about it
//
// The judge is pure: what is so comes in as Facts, and the time since the kernel
// started as a number. It decides nothing about slots.
package health

import (
	"slices"
	"time"
)

// Policy is how long a box must be well, and by when.
type Policy struct {
	For    time.Duration // it must be well without a break for as long as this
	Within time.Duration // from the start of the kernel; after it nothing may be wrong
}

// Default is the policy until router.toml was read, or when it cannot be.
var Default = Policy{For: time.Minute, Within: 5 * time.Minute}

// Facts are what PID 1 knows of the box at one moment. Each text says what is
// wrong, e.g. "no menu runs on ttyS0"; an empty list means that all is well.
type Facts struct {
	Data    []string // of the data partition: it is missing, or takes no writes
	Loop    []string // of the process: it does not cycle, it has not reported
	Network []string // what the loop reports: an interface, a lease, a host that does not answer
	Console []string // of the menus
}

// Reasons lists all that is wrong, what the rest may follow from first.
func (f Facts) Reasons() []string { return slices.Concat(f.Data, f.Loop, f.Network, f.Console) }

// Outcome is what a Verdict comes to.
type Outcome string

// The outcomes.
const (
	Waiting Outcome = "waiting"     // it is not well yet, or not for long enough
	Good    Outcome = "good"        // it was well for long enough; this stays
	Failed  Outcome = "not healthy" // its time is over and something is wrong
)

// Verdict is what the Judge says at one moment.
type Verdict struct {
	Outcome Outcome
	Reasons []string      // what is wrong now
	Well    time.Duration // how long nothing has been wrong; 0 where something is
}

// Judge follows one boot.
//
//	           well for Policy.For
//	[waiting] ---------------------> [good]
//	   |
//	   | Policy.Within is over, and something is wrong
//	   v
//	[not healthy] --- well for Policy.For ---> [good]
//
// A box that is well when its time ends, only not for long enough, still gets
// the rest of it: the trial ends at Within + For at the latest.
type Judge struct {
	well  bool
	since time.Duration // when it became well
	good  bool
}

// Interrupt breaks the time for which the box was well: something restarted, so
// quickly perhaps that no look at the facts has seen it.
func (j *Judge) Interrupt() { j.well = false }

// Look takes the facts at the time now since the start of the kernel.
func (j *Judge) Look(p Policy, f Facts, now time.Duration) Verdict {
	v := Verdict{Outcome: Waiting, Reasons: f.Reasons()}
	switch {
	case len(v.Reasons) > 0:
		j.well = false
	case !j.well:
		j.well, j.since = true, now
	default:
		v.Well = now - j.since
	}
	j.good = j.good || j.well && v.Well >= p.For
	switch {
	case j.good:
		v.Outcome = Good
	case len(v.Reasons) > 0 && now >= p.Within:
		v.Outcome = Failed
	}
	return v
}
