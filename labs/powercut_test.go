package labs

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"tench/internal/lab"
	"tench/internal/slottest"
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

// TestPowerCut is the matrix, small; BenchmarkPowerCut is the large one.
func TestPowerCut(t *testing.T) {
	lab.Require(t, cutNeeds...)
	m := newCutMatrix(t)
	m.cut(t, 8*len(cutStories))
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

// BenchmarkPowerCut cuts the power of one recorded run ten times in each story in
// each of its loops, of which make bench asks for three, and boots from two of
// these disks.
func BenchmarkPowerCut(b *testing.B) {
	lab.Require(b, cutNeeds...)
	m := newCutMatrix(b)
	for b.Loop() {
		m.cut(b, 10*len(cutStories))
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
	image  []byte            // the disk before
	known  map[string]string // what may be in a slot: its hash, as hashSlot makes it, and its name
	after  []byte            // and after a cut
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
	m := &cutMatrix{
		dir: t.TempDir(), random: seededRandom(t),
		rows: make([][3]int, len(cutStories)), distinct: map[string]bool{},
	}
	log, newer := filepath.Join(m.dir, "writes.log"), newerSlot(t)
	c := m.start(t, newer, "--log-writes", log)
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
	var err error
	if m.log, err = lab.ReadWriteLog(log); err != nil {
		t.Fatal(err)
	}
	a, b := m.hashSlot(t, partitionOf(m.image, 2)), m.hashSlot(t, newer)
	m.known = map[string]string{a: "the image's", b: "the update's"}
	if a == b || a == "" || b == "" {
		t.Fatalf("GRUB loads %q from the slot of the image and %q from the update", a, b)
	}
	m.readStates(t)
	return m
}

// start boots the box, with the key of an update in its identity and the update
// on a second disk.
func (m *cutMatrix) start(t testing.TB, newer []byte, args ...string) *lab.Console {
	t.Helper()
	public, secret := slottest.Key(t, 1)
	image := alteredImage(t, func(image []byte) {
		setHealth(t, image, "[health]\nfor = \"15s\"\n")
		knows(t, image, public.Marshal())
		m.image = image
	})
	return boot(t, append([]string{"--image", image, "--qemu", "-drive",
		"--qemu", "if=virtio,format=raw,file=" + updateStick(t, newer, secret.SignInside)}, args...)...)
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
	return m.readDisk(t, m.disk(0, n, fate, seed), m.changed(n))
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
		state, err := m.readDisk(t, m.disk(from, n, lab.Lie, m.random.Uint64()), m.changed(n))
		if err != nil || state != m.states[story] && state != m.states[story+1] {
			bad++
		}
	}
	t.Logf("a disk that obeys no flush: %d of %d power cuts leave a mix", bad, count)
	return bad
}

// boot starts the box from the disks of count further cuts: it must come up in the
// slot and with the generation that we read there.
func (m *cutMatrix) boot(t testing.TB, count int) {
	t.Helper()
	for range count {
		story := 1 + m.random.IntN(len(cutStories)-1)
		from, to := m.marks[story], m.marks[story+1]
		n, seed := from+m.random.IntN(to-from+1), m.random.Uint64()
		disk := m.disk(0, n, lab.Torn, seed)
		state, err := m.readDisk(t, disk, m.changed(n))
		if err != nil {
			t.Errorf("%s: cut after entry %d, seed %d: %v", cutStories[story].name, n, seed, err)
			return
		}
		file := filepath.Join(m.dir, "cut.img")
		writeSparse(t, file, disk)
		c := boot(t, "--image", file)
		if ready := c.Expect(t, readyLine, bootTimeout); ready[3] != state.starts[:1] || ready[4] != "" {
			t.Errorf("%s: cut after entry %d, seed %d: %q; want slot %s and nothing missing", cutStories[story].name, n, seed, ready[0], state.starts)
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
