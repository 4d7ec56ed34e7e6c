package status

import (
	"cmp"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// DefaultTrial is how long a change that comes over a session of the SSH door is
// on trial unless the operator says otherwise: long enough to log in anew, try
// what the change was for, and confirm.
const DefaultTrial = 5 * time.Minute

// Bounds of what an operator may choose for a trial. The loop looks at the time
// every two seconds; and a box that nobody has confirmed for a day is forgotten.
const (
	MinTrial = 5 * time.Second
	MaxTrial = 24 * time.Hour
)

// SessionEnv is the environment variable that names the session of the SSH door
// that a command runs in: the operator, a slash, and what tells this operator's
// sessions apart, e.g. "anna@desk/17". Commands hand it to the loop with each
// request. A session with the same operator as a lost one counts as come back.
const SessionEnv = "TENCH_SESSION"

// Change is a router.toml on its way into force.
type Change struct {
	Text string `json:"text,omitempty"`
	// Trial is how long it may run without a Confirm; 0 makes it permanent at
	// once. In nanoseconds.
	Trial   time.Duration `json:"trial,omitempty"`
	Session string        `json:"-"` // who it is from; the request has it
}

// Check reports whether the time of a trial is one that may be asked for.
func (c Change) Check() error {
	if c.Trial != 0 && (c.Trial < MinTrial || c.Trial > MaxTrial) {
		return fmt.Errorf("trial of %v: want %v to %v, or 0 for none", c.Trial, MinTrial, MaxTrial)
	}
	return nil
}

// Outcome is what became of a Change. Its JSON form is what `tenchd apply --json`
// prints; fields are only ever added to it.
type Outcome struct {
	Generation int    `json:"generation"`      // in force now
	Trial      *Trial `json:"trial,omitempty"` // nil where it is permanent
	Same       bool   `json:"same,omitempty"`  // it was in force before; nothing changed
}

// String is for an operator. Who asked for a trial learns what to do about it.
func (o Outcome) String() string {
	if o.Trial != nil {
		return fmt.Sprintf("%v\n\"confirm\" keeps it", *o.Trial)
	}
	if o.Same {
		return fmt.Sprintf("generation %d is in force; nothing changed", o.Generation)
	}
	return fmt.Sprintf("generation %d is in force", o.Generation)
}

// Trial is a generation on trial.
type Trial struct {
	Generation int    `json:"generation"`
	Back       int    `json:"back"`              // comes back unless Generation is confirmed; 0: no configuration
	Left       int    `json:"left"`              // seconds until then
	Session    string `json:"session,omitempty"` // whose it is; "" for the box's console
}

// String is for an operator, e.g. "generation 8 is on trial: 4m12s left, then
// generation 7 is back".
func (t Trial) String() string {
	return fmt.Sprintf("generation %d is on trial: %v left, then %s is back", t.Generation, t.TimeLeft(), t.Before())
}

// TimeLeft is how long the trial goes on.
func (t Trial) TimeLeft() time.Duration { return time.Duration(t.Left) * time.Second }

// Before names what comes back.
func (t Trial) Before() string {
	if t.Back == 0 {
		return "no configuration"
	}
	return fmt.Sprintf("generation %d", t.Back)
}

// Generation is one line of `tenchd generations`. Its JSON form is what --json
// prints; fields are only ever added to it.
type Generation struct {
	Number int       `json:"number"`
	State  string    `json:"state"` // "current", "on trial", "taken back", "unconfirmed" or "before"
	Added  time.Time `json:"added,omitzero"`
	By     string    `json:"by,omitempty"`   // the session that brought it; "" for the box's console
	Note   string    `json:"note,omitempty"` // e.g. "copy of generation 3"
	// Changed is how many lines differ from the last generation before it that
	// was in force for good, removed and added ones; First is the number of the
	// first of them. 0 where there is none.
	Changed int `json:"changed"`
	First   int `json:"first,omitempty"`
}

// Difference is what a router.toml changes.
type Difference struct {
	Text  string   `json:"text,omitempty"`  // unified diff; "" for no difference
	Words []string `json:"words,omitempty"` // what changes, e.g. "interface lan: address 192.168.1.1/24 goes"
}

// Print writes a difference for an operator: the text, and then what it means.
func (d Difference) Print(w io.Writer) error {
	if _, err := io.WriteString(w, d.Text); err != nil {
		return err
	}
	for _, line := range d.Words {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// PrintGenerations writes the list as a table.
func PrintGenerations(w io.Writer, list []Generation) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tSTATE\tADDED\tBY\tCHANGED\tNOTE")
	for _, g := range list {
		added := "-"
		if !g.Added.IsZero() {
			added = g.Added.UTC().Format("2006-01-02 15:04")
		}
		changed := "-"
		if g.Changed > 0 {
			changed = fmt.Sprintf("%d from line %d", g.Changed, g.First)
		}
		by, note := Plain(cmp.Or(g.By, "-")), Plain(cmp.Or(g.Note, "-"))
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", g.Number, g.State, added, by, changed, note)
	}
	return t.Flush()
}
