// Package track knows what each box on the cable is doing, says in words why one
// does not get on, and keeps the armed installs.
//
//	track.go    Table: events in, Snapshot out; who may be in it
//	stage.go    Stage: the names of what a box is doing
//	role.go     which file is a loader, a kernel, …
//	boot.go     the automaton of one boot: pure
//	diagnose.go the time limit of each stage, and what to say when it is over
//	install.go  the automaton of an arming: pure
//	arm.go      Table: Arm, Disarm, Pending, and what a token may do
//	store.go    armings on disk
//	explain.go  Explain: what was heard of one box, and what was answered
//
// Nothing here speaks to the network: DHCP, TFTP and HTTP report to Table.Event,
// and ask Table.Pending what a box shall get. A Table is safe for concurrent use;
// Event never waits for a disk.
package track

import (
	"context"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"tench/pxe/event"
)

// Options are what a table is made with.
type Options struct {
	// Dir keeps the armings. It is made if it is missing, and belongs to one
	// table at a time.
	Dir string
	// Name is the box's name in the inventory; "" for a box that is not in it. It
	// is called with the table locked, and must not call it.
	Name func(event.MAC) string
	// Role tells what a file is for; nil is RoleOf.
	Role func(file string) Role
	// Sink takes what the table itself has to say: Armed, Disarmed, Failed,
	// Trouble. It may hand them back to Event.
	Sink event.Sink
	// Now is the clock, Random what tokens are made of (crypto/rand's Reader).
	Now    func() time.Time
	Random io.Reader
	// Boots is how many boots in a row may come no further than one before, until
	// an install is given up. 0 is DefaultBoots.
	Boots int
	// Strangers is how many boxes there may be that neither have a name nor were
	// armed; the one heard of longest ago makes room. Of armed ones without a name
	// there may be four times as many. 0 is DefaultStrangers.
	Strangers int
}

// The defaults.
const (
	DefaultBoots     = 3
	DefaultStrangers = 256
)

// Table is all boxes that were heard of or armed.
type Table struct {
	o    Options
	lock *flock.Flock
	wake chan struct{} // something is to be saved; holds one

	saving sync.Mutex // whoever writes to Dir; taken before mu

	mu       sync.Mutex
	boxes    map[event.MAC]*box
	tokens   map[digest]event.MAC
	byIP     map[netip.Addr]event.MAC
	dirty    map[event.MAC]bool
	foreign  foreign
	counts   map[event.Kind]int64
	watchers map[chan struct{}]bool
}

// foreign is another DHCP server.
type foreign struct {
	ip   netip.Addr
	seen time.Time
}

// lately is its address, while it counts.
func (f foreign) lately(now time.Time) netip.Addr {
	if now.Sub(f.seen) > 10*time.Minute {
		return netip.Addr{}
	}
	return f.ip
}

// box is what is known of one box.
type box struct {
	mac     event.MAC
	name    string // when it was last looked up; "" for a stranger
	ip      netip.Addr
	seen    time.Time
	boot    boot
	install *Install
	history history
}

// New opens the table whose armings are in o.Dir.
func New(o Options) (*Table, error) {
	if o.Boots == 0 {
		o.Boots = DefaultBoots
	}
	if o.Strangers == 0 {
		o.Strangers = DefaultStrangers
	}
	if o.Role == nil {
		o.Role = RoleOf
	}
	t := &Table{
		o: o, wake: make(chan struct{}, 1),
		boxes: map[event.MAC]*box{}, tokens: map[digest]event.MAC{}, byIP: map[netip.Addr]event.MAC{},
		dirty: map[event.MAC]bool{}, counts: map[event.Kind]int64{}, watchers: map[chan struct{}]bool{},
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	return t, nil
}

// Run writes what events changed in the armings to disk, until ctx ends.
func (t *Table) Run(ctx context.Context) {
	for {
		select {
		case <-t.wake:
			t.flush()
		case <-ctx.Done():
			t.flush()
			return
		}
	}
}

// Event takes what happened. It is an event.Sink.
func (t *Table) Event(e event.Event) {
	if e.Time.IsZero() {
		e.Time = t.o.Now()
	}
	const long = 256 // as long as TFTP and HTTP paths of ours get
	e.File, e.Text, e.Rule, e.Loader = event.Plain(e.File, long), event.Plain(e.Text, long), event.Plain(e.Rule, long), event.Plain(e.Loader, long)
	failed, ok := t.take(e)
	if ok {
		t.o.Sink.Send(event.Event{Time: e.Time, Box: failed.Box, Kind: event.Failed, Text: failed.Why})
	}
}

// take is Event under the lock. It returns the install that failed by it.
func (t *Table) take(e event.Event) (failed Install, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[e.Kind]++
	defer t.changed()
	if e.Kind == event.Foreign {
		t.foreign = foreign{e.IP, e.Time}
	}
	if e.Box.IsZero() {
		e.Box = t.byIP[e.IP]
	}
	if e.Box.IsZero() {
		return Install{}, false
	}
	b := t.box(e.Box)
	if e.Kind != event.Armed && e.Kind != event.Disarmed { // the desk speaks, and not the box
		b.seen = e.Time
	}
	t.address(b, e)
	b.history.add(e)

	role := Other
	if e.Kind == event.Transfer {
		role = t.o.Role(e.File)
	}
	i := t.installOf(b)
	// Another system than ours, which has no board, never says that it is healthy:
	// once written it is a box that boots its disk.
	again := b.boot.next(e, role, i != nil && i.State == StateWritten && i.Board != "")
	if i == nil {
		return Install{}, false
	}
	before := *i
	if e.Kind == event.Transfer && i.fetches(b.mac) {
		again = true
	}
	i.step(again, b.boot.stage, t.o.Boots, e.Time)
	if *i == before {
		return Install{}, false
	}
	t.save(i.Box)
	return *i, i.State == StateFailed && before.State != StateFailed
}

// installOf is what a boot by this port is of: the arming of the port, or of another
// port of the same box, which is one box. The caller holds mu.
func (t *Table) installOf(b *box) *Install {
	if b.name == "" || b.install != nil && b.install.Pending() {
		return b.install
	}
	var other *Install
	for _, o := range t.boxes {
		i := o.install
		if o == b || i == nil || i.Name != b.name {
			continue
		}
		if other == nil || i.Pending() && !other.Pending() || i.Pending() == other.Pending() && i.Box.Compare(other.Box) < 0 {
			other = i
		}
	}
	if other == nil || b.install != nil && !other.Pending() {
		return b.install
	}
	return other
}

// notTheirs are the events whose IP the box has not.
var notTheirs = map[event.Kind]bool{event.Foreign: true, event.Decline: true, event.Nak: true, event.Silent: true}

// address learns which address is whose.
func (t *Table) address(b *box, e event.Event) {
	if !e.IP.IsValid() || e.IP == b.ip || notTheirs[e.Kind] {
		return
	}
	delete(t.byIP, b.ip)
	if other := t.boxes[t.byIP[e.IP]]; other != nil {
		other.ip = netip.Addr{}
	}
	b.ip = e.IP
	t.byIP[e.IP] = b.mac
}

// box finds or makes a box.
func (t *Table) box(mac event.MAC) *box {
	if b := t.boxes[mac]; b != nil {
		return b
	}
	name := t.name(mac)
	if name == "" {
		t.makeRoom()
	}
	b := &box{mac: mac, name: name}
	t.boxes[mac] = b
	return b
}

// makeRoom forgets a stranger where there are as many as there may be.
func (t *Table) makeRoom() {
	var oldest *box
	n := 0
	for _, b := range t.boxes {
		if b.install != nil || b.name != "" {
			continue
		}
		if n++; oldest == nil || b.seen.Before(oldest.seen) {
			oldest = b
		}
	}
	if n < t.o.Strangers {
		return
	}
	delete(t.boxes, oldest.mac)
	if t.byIP[oldest.ip] == oldest.mac {
		delete(t.byIP, oldest.ip)
	}
}

func (t *Table) name(mac event.MAC) string {
	if b := t.boxes[mac]; b != nil && b.install != nil && b.install.Name != "" {
		return b.install.Name
	}
	if t.o.Name == nil {
		return ""
	}
	return t.o.Name(mac)
}

// Box is what a reader sees of a box. All its texts are one line each and steer
// no terminal; they are foreign all the same, and a page escapes them.
type Box struct {
	MAC   event.MAC  `json:"mac"`
	Name  string     `json:"name,omitempty"`
	IP    netip.Addr `json:"ip,omitzero"`
	Who   string     `json:"who,omitempty"` // asked last, e.g. "iPXE, x86 BIOS"
	Seen  time.Time  `json:"seen,omitzero"`
	Stage Stage      `json:"stage"`
	Since time.Time  `json:"since,omitzero"` // it is in the stage
	// File is being fetched, with Done of Total bytes; with the installer's
	// stages the two count what it works on. A Total of 0 is not known.
	File  string `json:"file,omitempty"`
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
	// Rate is in bytes a second, Left in seconds; 0 where they are not known.
	Rate float64 `json:"rate,omitempty"`
	Left float64 `json:"left,omitempty"`
	// Text is what the installer says of itself.
	Text string `json:"text,omitempty"`
	// Diagnosis says what is wrong and what to look at; "" while all goes well.
	Diagnosis string `json:"diagnosis,omitempty"`
	// Install is the arming, without its token.
	Install *Install `json:"install,omitempty"`
}

// Title is the name, or the MAC where it has none.
func (b Box) Title() string {
	if b.Name != "" {
		return b.Name
	}
	return b.MAC.String()
}

// Snapshot is all boxes, those with names first, by name and MAC.
func (t *Table) Snapshot() []Box {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	list := make([]Box, 0, len(t.boxes))
	for _, b := range t.boxes {
		list = append(list, t.view(b, now))
	}
	slices.SortFunc(list, func(a, b Box) int {
		if (a.Name == "") != (b.Name == "") {
			return strings.Compare(b.Name, a.Name)
		}
		if by := strings.Compare(a.Name, b.Name); by != 0 {
			return by
		}
		return a.MAC.Compare(b.MAC)
	})
	return list
}

func (t *Table) view(b *box, now time.Time) Box {
	b.name = t.name(b.mac)
	v := Box{
		MAC: b.mac, Name: b.name, IP: b.ip, Who: b.boot.who, Seen: b.seen, Stage: b.boot.stage, Since: b.boot.since,
		Text: b.boot.text, Diagnosis: t.diagnose(b, now),
	}
	if b.boot.busy() {
		v.File, v.Done, v.Total, v.Rate = b.boot.file, b.boot.done, b.boot.total, b.boot.rate()
	}
	if v.Rate > 0 && v.Total > v.Done {
		const days = 1e6 // a box may say what it likes
		v.Left = min(days, float64(v.Total-v.Done)/v.Rate)
	}
	if b.install != nil {
		c := *b.install
		c.Token = ""
		v.Install = &c
	}
	return v
}

// Foreign is another DHCP server that was heard in the last ten minutes; the zero
// address for none.
func (t *Table) Foreign() netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.foreign.lately(t.o.Now())
}

// Counts is how many events of each kind there were since the start.
func (t *Table) Counts() map[event.Kind]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

// Watch returns a channel that gets a value after something has changed, many
// changes at once where the reader is slow, and what ends that.
func (t *Table) Watch() (changes <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watchers[c] = true
	return c, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watchers, c)
	}
}

// changed tells the watchers. The caller holds mu.
func (t *Table) changed() {
	for c := range t.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
