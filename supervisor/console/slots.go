package console

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"tench/supervisor/health"
	"tench/supervisor/slots"
	"tench/supervisor/status"
)

// SlotReport is all there is to know about the slots of this box. Its JSON form
// is what `tenchd slots -json` prints; fields are only ever added to it.
type SlotReport struct {
	Running string      `json:"running"`           // "a" or "b"
	Next    string      `json:"next"`              // what is started at the next boot
	Good    string      `json:"good"`              // what is started when a trial fails
	Pending bool        `json:"pending"`           // Next is on trial
	Tries   int         `json:"tries"`             // how often it will be tried yet
	Problem string      `json:"problem,omitempty"` // why the fields above are empty
	Health  health.Note `json:"health"`
}

// ReadSlots reads grubenv, and PID 1's note in runDir. It needs no loop. With
// an error, which is in Problem too, the report still holds what could be had.
func ReadSlots(runDir string) (SlotReport, error) {
	var r SlotReport
	var noteErr error
	r.Health, noteErr = health.ReadNote(runDir)
	s, err := slots.Open()
	if err == nil {
		var st slots.State
		if st, err = s.State(); err == nil {
			r.Running, r.Next, r.Good, r.Pending, r.Tries = s.Running(), st.Slot, st.Good, st.Pending, st.Tries
		}
	}
	if err = cmp.Or(err, noteErr); err != nil {
		r.Problem = err.Error()
	}
	return r, err
}

// Tree draws the report as people see it.
func (r SlotReport) Tree() status.Node {
	root := status.Node{Name: "slots", State: "known", OK: true}
	if r.Problem != "" {
		root.OK, root.State = false, "unknown"
		root.Cause, _, _ = strings.Cut(r.Problem, "\n")
	}
	if r.Good != "" {
		root.Children = append(root.Children, r.slot("a"), r.slot("b"))
	}
	if h := r.Health; h.Outcome != "" {
		n := status.Node{Name: "health", State: string(h.Outcome), OK: h.Well, Cause: strings.Join(h.Reasons, "; ")}
		if h.Well && h.Outcome != health.Good {
			n.Detail = []string{"well, must stay so for " + h.For}
		}
		root.Children = append(root.Children, n)
		root.OK = root.OK && h.Well
	}
	for _, past := range []struct{ name, text string }{{"last trial", r.Health.LastTrial}, {"last crash", r.Health.LastCrash}} {
		if past.text != "" {
			root.Children = append(root.Children, status.Node{Name: past.name, State: "kept", OK: true, Detail: []string{past.text}})
		}
	}
	return root
}

// slot describes one of the two.
func (r SlotReport) slot(name string) status.Node {
	n := status.Node{Name: "slot " + name, State: "idle", OK: true}
	if name == r.Running {
		n.State = "running"
	}
	switch {
	case r.Pending && name == r.Next && name == r.Running && r.Health.Trial:
		n.Detail = append(n.Detail, "on trial: it must be healthy within "+r.Health.Within+" of its start", fmt.Sprintf("%d tries left", r.Tries))
	case r.Pending && name == r.Next:
		n.Detail = append(n.Detail, fmt.Sprintf("on trial from the next boot, %d tries", r.Tries))
	case name == r.Good:
		n.Detail = append(n.Detail, "good")
	}
	if !r.Pending && name == r.Good && name != r.Running {
		n.OK = false
		n.Cause = "it could not be loaded, the other one was picked in the boot menu, or its trial was taken back"
	}
	return n
}

// UseSlot has the boot loader try a slot at the next boot, and says what will
// happen then.
func UseSlot(slot string) (string, error) {
	s, err := slots.Open()
	if err == nil {
		err = s.Arm(slot, slots.MaxTries)
	}
	if err != nil {
		return "", err
	}
	st, err := s.State()
	if err != nil {
		return "", err
	}
	if !st.Pending {
		return fmt.Sprintf("slot %s is started at the next boot", slot), nil
	}
	return fmt.Sprintf("slot %s is tried at the next boot; slot %s comes back unless it is healthy", slot, st.Good), nil
}

// Slots implements Box.
func (l Live) Slots() (SlotReport, error) { return ReadSlots(l.RunDir) }

// UseSlot implements Box.
func (l Live) UseSlot(slot string) (string, error) { return UseSlot(slot) }

// Trial implements Box.
func (l Live) Trial() string {
	n, err := health.ReadNote(l.RunDir)
	if err != nil || !n.Trial {
		return ""
	}
	why := status.Plain(cmp.Or(strings.Join(n.Reasons, "; "), "well so far"))
	return fmt.Sprintf("slot %s is on trial: it reboots unless healthy %s after its start\n! %s",
		n.Slot, n.Within, why[:min(len(why), columns-2)])
}

// slots shows the slots and lets the other one be picked.
func (m *Menu) slots(ctx context.Context) error {
	r, err := m.Box.Slots()
	var b strings.Builder
	if perr := status.Print(&b, r.Tree()); perr != nil {
		return perr
	}
	if perr := m.page(ctx, b.String()); perr != nil {
		return perr
	}
	if err != nil {
		return err
	}
	slot, err := m.ask(ctx, "a or b starts that one at the next boot, enter goes back: ")
	if err != nil || slot == "" {
		return err
	}
	if slot != "a" && slot != "b" {
		return fmt.Errorf("slots: %q is not a or b", slot)
	}
	yes, err := m.confirm(ctx, "Start slot "+slot+" at the next boot?")
	if err != nil || !yes {
		return err
	}
	done, err := m.Box.UseSlot(slot)
	if err != nil {
		return err
	}
	m.printf("%s\n8 reboots\n", done)
	return nil
}
