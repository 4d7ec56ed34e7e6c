package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"

	"tench/config"
	"tench/supervisor/status"
)

func generationName(n int) string { return fmt.Sprintf("generation %d", n) }

// generation is one that is kept; 0 is the one in force.
func (l *loop) generation(number int) (status.Config, error) {
	if number == 0 {
		return l.inForce(), nil
	}
	numbers, err := l.store.List()
	if err != nil {
		return status.Config{}, err
	}
	if !slices.Contains(numbers, number) {
		return status.Config{}, fmt.Errorf("there is no generation %d\nhint: there are %s", number, strings.Trim(fmt.Sprint(numbers), "[]"))
	}
	g, err := l.store.Read(number)
	return status.Config{Generation: number, Text: string(g.Data)}, err
}

// generations lists those that are kept, each with what it changed in the one
// before it that was in force for good.
func (l *loop) generations() ([]status.Generation, error) {
	numbers, err := l.store.List()
	if err != nil {
		return nil, err
	}
	var list []status.Generation
	var proven []byte
	for _, n := range numbers {
		g := l.describeGeneration(n)
		content, err := l.store.Read(n)
		if err != nil {
			g.Note = cmp.Or(g.Note, err.Error())
			list = append(list, g)
			continue
		}
		if len(list) > 0 {
			g.Changed, g.First = changedLines(proven, content.Data)
		}
		if g.State == statePast || g.State == stateCurrent {
			proven = content.Data
		}
		list = append(list, g)
	}
	return list, nil
}

// The states of a generation, see status.Generation.
const (
	stateCurrent     = "current"
	stateTrial       = "on trial"
	stateTakenBack   = "taken back"
	stateUnconfirmed = "unconfirmed" // a power cut came before anything was noted
	statePast        = "before"
)

func (l *loop) describeGeneration(n int) status.Generation {
	about := l.store.About(n)
	g := status.Generation{Number: n, State: statePast, Added: about.Added, By: about.By, Note: about.TakenBack}
	switch {
	case l.trial != nil && n == l.trial.Number:
		g.State = stateTrial
		g.Note = fmt.Sprintf("%v left, then %s is back", l.trialNow().TimeLeft(), l.trialNow().Before())
	case n == l.current.Generation, l.trial != nil && n == l.trial.Back:
		g.State = stateCurrent
	case about.TakenBack != "":
		g.State = stateTakenBack
	case about.Unproven:
		g.State = stateUnconfirmed
	}
	if about.CopyOf != 0 {
		g.Note = strings.TrimPrefix(g.Note+fmt.Sprintf("; copy of generation %d", about.CopyOf), "; ")
	}
	return g
}

// changedLines counts the lines removed and added, and finds the first that
// differs.
func changedLines(old, changed []byte) (count, first int) {
	_, hunks, _ := strings.Cut(string(diff.Diff("a", old, "b", changed)), "\n@@")
	for line := range strings.Lines(hunks) {
		if line[0] == '+' || line[0] == '-' {
			count++
		}
	}
	if count == 0 {
		return 0, 0
	}
	a, b := strings.Split(string(old), "\n"), strings.Split(string(changed), "\n")
	for first < min(len(a), len(b)) && a[first] == b[first] {
		first++
	}
	return count, first + 1
}

// compare says how a text differs from a configuration, which may be none or
// one that this image cannot read: then there are no words.
func compare(old status.Config, text, name string) status.Difference {
	unified := string(diff.Diff(generationName(old.Generation), []byte(old.Text), name, []byte(text)))
	if unified == "" {
		return status.Difference{}
	}
	_, unified, _ = strings.Cut(unified, "\n") // a line that diff(1) has not
	d := status.Difference{Text: unified}
	before, err1 := config.Parse(configName, []byte(old.Text))
	after, err2 := config.Parse(configName, []byte(text))
	if err1 == nil && err2 == nil {
		d.Words = config.Changes(before, after)
	}
	return d
}
