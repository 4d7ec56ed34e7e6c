package update

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tench/supervisor/system"
)

// Each change of the store is a row of steps. Power may fail between any two of
// them and within each, and the tests cut it there.

// Add stores data as the next generation, makes it the current one and removes
// those beyond the last ten. Once Add has returned without error, the
// generation survives a power cut; a cut before leaves the old one current, or
// at the very end the new one, but always a whole one. Numbers are never used
// twice.
func (s Store) Add(data []byte, about About) (int, error) {
	n, err := s.next(data)
	if err != nil {
		return 0, err
	}
	about.Unproven = false
	steps := append(s.storeSteps(n, data, about), s.currentSteps(n)...)
	return n, s.run(fmt.Sprintf("add generation %d", n), steps)
}

// Try stores data as the next generation and notes in the file trial that the
// box runs with it. The current one stays current: whatever happens before
// Confirm, the next start reads that. It returns r with its Number.
func (s Store) Try(data []byte, about About, r Record) (Record, error) {
	n, err := s.next(data)
	if err != nil {
		return Record{}, err
	}
	r.Number = n
	return r, s.run(fmt.Sprintf("add generation %d", n), s.trySteps(data, about, r))
}

func (s Store) trySteps(data []byte, about About, r Record) []func() error {
	about.Unproven = true
	return append(s.storeSteps(r.Number, data, about),
		func() error { return s.writeJSON(trialName, r) },
		func() error { return system.SyncDir(s.Dir) })
}

// Confirm makes the generation on trial the current one. Once that is on the
// medium it is confirmed: what is left to note is noted by the next Settle where
// it cannot be now.
func (s Store) Confirm(n int) error {
	err := s.run(fmt.Sprintf("confirm generation %d", n), s.currentSteps(n))
	if err == nil {
		_ = s.run("note confirmation", s.provenSteps(n))
	}
	return err
}

func (s Store) provenSteps(n int) []func() error {
	about := s.About(n)
	about.Unproven = false
	return s.endSteps(n, about)
}

// TakeBack notes why the trial of a generation ended. What the box starts with
// does not depend on it: `current` names that generation only after a Confirm
// that failed half-way, and is put right then.
func (s Store) TakeBack(n int, why string) error {
	return s.run(fmt.Sprintf("take generation %d back", n), s.takeBackSteps(n, why))
}

func (s Store) takeBackSteps(n int, why string) []func() error {
	about := s.About(n)
	about.Unproven, about.TakenBack = true, why
	steps := s.endSteps(n, about)
	if current, err := s.currentNumber(); err != nil || current != n {
		return steps
	}
	r, err := s.record()
	if err != nil || r == nil || r.Number != n || r.Back == 0 {
		return steps
	}
	return append(s.currentSteps(r.Back), steps...)
}

// Settle ends what an earlier loop left on trial, to be called before Load. The
// record is nil when there was nothing; why tells how the trial ended, and is ""
// for one that was confirmed in the moment before the power failed.
func (s Store) Settle(boot string) (r *Record, why string, err error) {
	r, err = s.record()
	if err != nil {
		// Garbage names no generation; `current` says what to start with.
		return nil, "", s.run("settle", s.forgetSteps(0))
	}
	if r == nil {
		return nil, "", nil
	}
	if n, err := s.currentNumber(); err == nil && n == r.Number {
		return r, "", s.Confirm(n)
	}
	why = "the box restarted before it was confirmed"
	if r.Boot == boot {
		why = "the network loop ended before it was confirmed"
	}
	if earlier := s.About(r.Number).TakenBack; earlier != "" {
		why = earlier
	}
	return r, why, s.TakeBack(r.Number, why)
}

// next is the number of the next generation.
func (s Store) next(data []byte) (int, error) {
	if len(data) > MaxSize {
		return 0, fmt.Errorf("update: add generation: %d bytes are more than the %d allowed", len(data), MaxSize)
	}
	numbers, err := s.List()
	if err != nil {
		return 0, err
	}
	next := 1
	if len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	// A generation that current names but that is gone has used its number too.
	if n, err := s.currentNumber(); err == nil && n >= next {
		next = n + 1
	}
	return next, nil
}

// run does the steps of what.
func (s Store) run(what string, steps []func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("update: %s: %w\nhint: is the data partition full, missing or read-only? see `tenchd status`", what, err)
		}
	}
	s.prune()
	return nil
}

// storeSteps put a generation into the store, whole.
func (s Store) storeSteps(n int, data []byte, about About) []func() error {
	fresh := filepath.Join(s.Dir, newPrefix+strconv.Itoa(n))
	return []func() error{
		func() error { return os.MkdirAll(s.Dir, 0o755) },
		func() error { return system.SyncDir(filepath.Dir(s.Dir)) },
		func() error { return os.RemoveAll(fresh) },
		func() error { return os.Mkdir(fresh, 0o755) },
		func() error { return system.WriteFile(filepath.Join(fresh, fileName), data, 0o644) },
		func() error {
			text, err := json.Marshal(about)
			if err != nil {
				return err
			}
			return system.WriteFile(filepath.Join(fresh, aboutName), append(text, '\n'), 0o644)
		},
		func() error { return system.SyncDir(fresh) },
		func() error { return os.Rename(fresh, filepath.Join(s.Dir, strconv.Itoa(n))) },
		func() error { return system.SyncDir(s.Dir) },
	}
}

// currentSteps make a generation the current one.
func (s Store) currentSteps(n int) []func() error {
	return []func() error{
		func() error { return s.write(currentName, fmt.Appendf(nil, "%d\n", n)) },
		func() error { return system.SyncDir(s.Dir) },
	}
}

// endSteps end the trial of a generation. The file trial goes last: while it is
// there, Settle does all of this again.
func (s Store) endSteps(n int, about About) []func() error {
	dir := strconv.Itoa(n)
	steps := s.forgetSteps(n)
	if _, err := os.Stat(filepath.Join(s.Dir, dir)); err != nil {
		return steps // it is gone, and nothing is to be told of it
	}
	return append([]func() error{
		func() error { return s.writeJSON(filepath.Join(dir, aboutName), about) },
		func() error { return system.SyncDir(filepath.Join(s.Dir, dir)) },
	}, steps...)
}

// forgetSteps remove the file trial if it names n, or whatever it says for 0:
// one trial may have taken the place of another.
func (s Store) forgetSteps(n int) []func() error {
	return []func() error{
		func() error {
			if r, err := s.record(); err == nil && (r == nil || n != 0 && r.Number != n) {
				return nil
			}
			return os.Remove(filepath.Join(s.Dir, trialName))
		},
		func() error { return system.SyncDir(s.Dir) },
	}
}

// prune removes the generations beyond the last ten and what interrupted
// writers left behind. What cannot be removed costs some space and is tried
// again by the next writer, so errors are not reported.
func (s Store) prune() {
	if numbers, err := s.List(); err == nil {
		current, _ := s.currentNumber() // it stays, whatever its notes say
		left, leftUnproven := keep, keepUnproven
		for i := len(numbers) - 1; i >= 0; i-- {
			count := &left
			if !s.proven(numbers[i]) {
				count = &leftUnproven
			}
			if *count--; *count < 0 && numbers[i] != current {
				os.RemoveAll(filepath.Join(s.Dir, strconv.Itoa(numbers[i])))
			}
		}
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			os.RemoveAll(filepath.Join(s.Dir, e.Name()))
		}
	}
}

// write replaces a file of the store so that a power cut leaves the old or the
// new one.
func (s Store) write(name string, data []byte) error {
	return system.WriteFile(filepath.Join(s.Dir, name), data, 0o644)
}

func (s Store) writeJSON(name string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.write(name, append(text, '\n'))
}
