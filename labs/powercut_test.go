package labs

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"tench/internal/lab"
)

// A box is told to do things while QEMU logs every write to its disk. From the
// log of one run come the disks of as many power cuts as wanted: at any write,
// with all writes before it arrived, with those lost that no flush came behind,
// or with some of them there, whole or in part. That is more than killing QEMU
// can show, which loses nothing that the guest has written.
//
// Of each such disk the file systems must be sound, once their journal is
// replayed, and what the box would start with must be the old state or the new
// one. Some of them are booted.

// cutStory is something that a box does while its power fails.
type cutStory struct {
	name string
	// act types what starts it, and returns once the box has answered.
	act func(t testing.TB, c *lab.Console)
	// makes is the new state, of the old one. From the answer on, it alone may be
	// seen. nil: the box promises nothing, and whatever it has written by the
	// time of its answer counts as the new state.
	makes func(diskState) diskState
}

// cutStories run one after another on one box; each finds what the ones before
// it left. A row for a new story needs nothing else, as long as all it changes
// is in diskState.
var cutStories = []cutStory{
	{"first boot", func(t testing.TB, c *lab.Console) { c.Expect(t, readyLine, bootTimeout) }, nil},
	applyStory("apply", "# the first change"),
	applyStory("apply once more", "# the second change"),
	{"reboot", func(t testing.TB, c *lab.Console) {
		c.Send(t, "8\n")
		c.Expect(t, `yes`, menuTimeout)
		c.Send(t, "yes\n")
		c.Expect(t, readyLine, bootTimeout)
	}, func(s diskState) diskState { return s }},
	applyStory("apply after the reboot", "# the third change"),
}

// applyStory puts a line at the top of router.toml.
func applyStory(name, line string) cutStory {
	return cutStory{name, func(t testing.TB, c *lab.Console) { menuApply(t, c, line) }, func(s diskState) diskState {
		s.generation, s.router = s.generation+1, line+"\n"+s.router
		return s
	}}
}

// menuApply puts a line at the top of router.toml with the menu's editor, and
// waits until that is in force.
func menuApply(t testing.TB, c *lab.Console, line string) {
	t.Helper()
	c.Send(t, "\n5\n")
	c.Expect(t, `edit> `, menuTimeout)
	c.Send(t, "i 0\n"+line+"\n.\n")
	c.Expect(t, `edit> `, menuTimeout)
	c.Send(t, "apply\n")
	c.Expect(t, `generation \d+ is in force`, menuTimeout)
	c.Send(t, "q\n")
	c.Expect(t, `> `, menuTimeout)
}

// TestPowerCut is the matrix, small; BenchmarkPowerCut is the large one.
func TestPowerCut(t *testing.T) {
	lab.Require(t, cutNeeds...)
	m := newCutMatrix(t)
	m.cut(t, 60)
	m.boot(t, 2)
	m.report(t)
	if m.bad > 0 {
		t.Errorf("%d of %d power cuts left neither the old state nor the new one", m.bad, m.points)
	}
	// Would it be seen? A disk that obeys no flush must lose something.
	if m.lies(t, 40) == 0 {
		t.Error("a disk that flushes nothing lost nothing in 40 power cuts: the matrix sees no faults")
	}
}

// BenchmarkPowerCut cuts the power of one recorded run 80 times in each of its
// loops, of which make bench asks for three, and boots from two of these disks.
func BenchmarkPowerCut(b *testing.B) {
	lab.Require(b, cutNeeds...)
	m := newCutMatrix(b)
	for b.Loop() {
		m.cut(b, 80)
		m.boot(b, 2)
	}
	m.report(b)
	b.ReportMetric(float64(m.points), "cuts")
	b.ReportMetric(float64(m.bad), "dead")
	b.ReportMetric(float64(m.booted), "booted")
	b.ReportMetric(0, "ns/op")
	if m.bad > 0 {
		b.Errorf("%d of %d power cuts left neither the old state nor the new one", m.bad, m.points)
	}
}

// cutMatrix is a recorded run, and what became of the cuts in it.
type cutMatrix struct {
	dir    string
	image  []byte // the disk before
	after  []byte // and after a cut
	log    lab.WriteLog
	marks  []int       // entries of the log when the stories began, and at the end
	states []diskState // the same in states
	random *rand.Rand

	rows                [][3]int // old, new, bad of each story
	points, bad, booted int
	distinct            map[string]bool // cuts that were looked at, as text
}

// newCutMatrix boots the box and lets it live through the stories.
func newCutMatrix(t testing.TB) *cutMatrix {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TENCH_LAB_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TENCH_LAB_SEED=%d draws the same points again, of another run", seed)
	m := &cutMatrix{
		dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 0)),
		rows: make([][3]int, len(cutStories)), distinct: map[string]bool{},
	}
	built := filepath.Join(lab.Root(t), "out", "qemu-amd64", "tench-qemu-amd64.img")
	var err error
	if m.image, err = os.ReadFile(built); err != nil {
		t.Fatalf("%v\nhint: make image", err)
	}
	log := filepath.Join(m.dir, "writes.log")
	c := boot(t, "--log-writes", log)
	m.marks = []int{0}
	for _, s := range cutStories {
		s.act(t, c)
		n, err := lab.CountWrites(log)
		if err != nil {
			t.Fatal(err)
		}
		m.marks = append(m.marks, n)
	}
	c.Kill()
	if m.log, err = lab.ReadWriteLog(log); err != nil {
		t.Fatal(err)
	}
	m.readStates(t)
	return m
}

// readStates reads the disk as it was between the stories. Where a story ends
// with a promise, that must be kept even if everything is lost that no flush
// came behind.
func (m *cutMatrix) readStates(t testing.TB) {
	t.Helper()
	for i, n := range m.marks {
		fate := lab.Arrived
		if i > 0 && cutStories[i-1].makes != nil {
			fate = lab.Lost
		}
		state, err := m.look(t, n, fate, 0)
		if err != nil {
			t.Fatalf("the disk after story %d: %v", i, err)
		}
		if fate == lab.Lost {
			if want := cutStories[i-1].makes(m.states[i-1]); state != want {
				t.Fatalf("%s: the box has answered, and its disk has not what it says:\n got %v\nwant %v", cutStories[i-1].name, state, want)
			}
		}
		m.states = append(m.states, state)
	}
}

// disk is the disk that a cut leaves, until the next call.
func (m *cutMatrix) disk(from, n int, fate lab.Fate, seed uint64) []byte {
	m.after = append(m.after[:0], m.image...)
	m.log.Cut(m.after, from, n, fate, rand.New(rand.NewPCG(seed, 0)))
	return m.after
}

func (m *cutMatrix) look(t testing.TB, n int, fate lab.Fate, seed uint64) (diskState, error) {
	t.Helper()
	return readDisk(t, m.dir, m.disk(0, n, fate, seed), m.changed(n))
}

// changed tells which partitions the first n entries changed, so that 64 MiB of
// slots need not be hashed for each cut.
func (m *cutMatrix) changed(n int) (changed [4]bool) {
	for i, p := range partitionsOf(m.image) {
		changed[i] = m.log.Touches(m.image, p.start, p.end, n)
	}
	return changed
}

// cut looks at count power cuts, spread over the stories.
func (m *cutMatrix) cut(t testing.TB, count int) {
	t.Helper()
	for range count {
		story := m.points % len(cutStories)
		m.points++
		fate := []lab.Fate{lab.Arrived, lab.Lost, lab.Torn, lab.Torn}[m.random.IntN(4)]
		from, to := m.marks[story], m.marks[story+1]
		n := from + m.random.IntN(to-from+1)
		if m.random.IntN(6) == 0 {
			n = to // the moment of the answer is worth a look of its own
		}
		seed := m.random.Uint64()
		m.distinct[fmt.Sprint(n, fate, seed)] = true
		state, err := m.look(t, n, fate, seed)
		before, after := m.states[story], m.states[story+1]
		switch {
		case err == nil && state == after:
			m.rows[story][1]++
		case err == nil && state == before && !(n == to && cutStories[story].makes != nil):
			m.rows[story][0]++
		default:
			m.bad++
			m.rows[story][2]++
			t.Logf("%s: cut after entry %d of %d..%d, %s, seed %d: %v\n got %v\n old %v\n new %v",
				cutStories[story].name, n, from, to, fate, seed, err, state, before, after)
		}
	}
}

// lies counts what goes wrong on a disk that obeys no flush.
func (m *cutMatrix) lies(t testing.TB, count int) (bad int) {
	t.Helper()
	for i := range count {
		story := i % len(cutStories)
		from, to := m.marks[story], m.marks[story+1]
		n := from + m.random.IntN(to-from+1)
		state, err := readDisk(t, m.dir, m.disk(from, n, lab.Lie, m.random.Uint64()), m.changed(n))
		if err != nil || state != m.states[story] && state != m.states[story+1] {
			bad++
		}
	}
	t.Logf("a disk that obeys no flush: %d of %d power cuts leave a mix", bad, count)
	return bad
}

// boot starts the box from the disks of count further cuts: it must come up with
// the generation that we read there.
func (m *cutMatrix) boot(t testing.TB, count int) {
	t.Helper()
	for range count {
		story := 1 + m.booted%(len(cutStories)-1)
		from, to := m.marks[story], m.marks[story+1]
		n, seed := from+m.random.IntN(to-from+1), m.random.Uint64()
		disk := m.disk(0, n, lab.Torn, seed)
		state, err := readDisk(t, m.dir, disk, m.changed(n))
		if err != nil {
			t.Errorf("%s: cut after entry %d, seed %d: %v", cutStories[story].name, n, seed, err)
			return
		}
		file := filepath.Join(m.dir, "cut.img")
		writeSparse(t, file, disk)
		c := boot(t, "--image", file)
		if ready := c.Expect(t, readyLine, bootTimeout); ready[3] != "a" || ready[4] != "" {
			t.Errorf("%s: cut after entry %d, seed %d: %q; want slot a and nothing missing", cutStories[story].name, n, seed, ready[0])
		}
		c.Send(t, "\n5\n")
		c.Expect(t, fmt.Sprintf(`router\.toml, generation %d, `, state.generation), menuTimeout)
		c.Kill()
		m.booted++
	}
}

// report prints the table.
func (m *cutMatrix) report(t testing.TB) {
	t.Helper()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "writes\tflushes\tcuts\told\tnew\tdead\t  during")
	for i, s := range cutStories {
		writes, flushes := m.log.Counts(m.marks[i], m.marks[i+1])
		r := m.rows[i]
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t%d\t  %s\n", writes, flushes, r[0]+r[1]+r[2], r[0], r[1], r[2], s.name)
	}
	w.Flush()
	t.Logf("power cuts: %d, %d of them different, %d disks booted\n%s", m.points, len(m.distinct), m.booted, text.String())
}
