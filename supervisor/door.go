package supervisor

import (
	"fmt"
	"strings"
	"time"

	"tench/supervisor/door"
	"tench/supervisor/status"
)

// wish is where the door shall listen: on the devices of the interfaces that
// [ssh] names, as far as they are there now.
func (l *loop) wish() door.Wish {
	w := door.Wish{}
	if len(l.cfg.SSH.Interfaces) == 0 {
		return w
	}
	w.Port = l.cfg.SSH.Port
	for _, name := range l.cfg.SSH.Interfaces {
		want, _ := l.wantedLink(name)
		if link, there := l.facts.Links[want.Name]; there {
			w.Devices = append(w.Devices, door.Device{Name: link.Name, Index: link.Index})
		}
	}
	return w
}

// tellDoor tells PID 1 where the door shall listen, when that has changed.
func (l *loop) tellDoor() {
	line := strings.TrimSpace(wordDoor + " " + l.wish().String())
	if line != l.doorTold {
		l.doorTold = line
		l.tell(line)
	}
}

// doorNode tells how the SSH door does; ok is false where there is none to be.
func (l *loop) doorNode(now time.Time) (n status.Node, ok bool) {
	if len(l.cfg.SSH.Interfaces) == 0 {
		return status.Node{}, false
	}
	s, err := door.ReadState(l.o.RunDir)
	if err != nil {
		return status.Node{Name: "ssh", State: "down", Cause: err.Error()}, true
	}
	return describeDoor(s, now), true
}

// describeDoor draws the door's state.
func describeDoor(s door.State, now time.Time) status.Node {
	n := status.Node{Name: "ssh", State: "up", OK: true, Facts: map[string]string{"fingerprint": s.Fingerprint}}
	if len(s.Devices) > 0 {
		n.Detail = append(n.Detail, fmt.Sprintf("port %d on %s", s.Port, strings.Join(s.Devices, ", ")))
	}
	n.Detail = append(n.Detail, "host key "+s.Fingerprint)
	switch {
	case len(s.Problems) > 0:
		n.State, n.Cause = "down", s.Problems[0]
	case len(s.Devices) == 0:
		n.State, n.Cause = "waiting", "none of its interfaces is there"
	case s.Keys == 0:
		n.State, n.Cause = "closed", "no key may log in: data:/identity/authorized_keys has none that can be used"
	case s.Spare != "":
		n.State, n.Cause = "up", "its host key is for this boot only: "+s.Spare
	}
	n.OK = n.Cause == ""
	n.Detail = append(n.Detail, s.KeyProblems...)
	n.Detail = append(n.Detail, fmt.Sprintf("%d logins, %d refused, %d turned away", s.Logins, s.BadLogins, s.TurnedAway))
	if r := s.LastRefused; r != nil {
		n.Detail = append(n.Detail, fmt.Sprintf("last refused %s, %s ago: %s", r.From, ago(now.Sub(r.When)), r.Why))
	}
	for _, v := range s.Sessions {
		n.Detail = append(n.Detail, fmt.Sprintf("session %s from %s for %s", v.ID, v.From, ago(now.Sub(v.Since))))
	}
	return n
}

// ago is a time that has passed, for people. It is not negative, although the
// clock may have been set back since.
func ago(d time.Duration) string { return max(0, d).Round(time.Second).String() }
