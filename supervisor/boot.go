package supervisor

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tench/boards"
	"tench/config"
	"tench/release/netboot"
	"tench/supervisor/console"
	"tench/supervisor/door"
	"tench/supervisor/health"
	"tench/supervisor/proc"
	"tench/supervisor/slots"
)

// PID 1 is in the files boot*.go:
//
//	boot.go           Init: the order of things, and the one goroutine that decides
//	boot_mount.go     early mounts
//	boot_cmdline.go   build.json, the ready line
//	boot_data.go      finding, mounting and watching the data partition
//	boot_netboot.go   booted over the network: diskless, or to install
//	boot_super.go     mending its super block after a power cut
//	boot_watchdog.go  the hardware watchdog
//	boot_pulse.go     when it is fed, and when a hanging loop is killed
//	boot_children.go  the loop and the menus
//	boot_door.go      the SSH door
//	boot_trial.go     is the box well; what follows for a slot on trial
//	boot_past.go      what the boot before left: crashes, a slot given up
//	boot_message.go   what the loop tells PID 1
//	boot_log.go       the log file, console and kernel ring
//	boot_shutdown.go  the way down

// Where things are on a box; see ARCHITECTURE.md.
const (
	RunDir    = "/run/tench"
	DataDir   = "/data"
	BoardFile = "/etc/tench/board.toml"
	buildFile = "/etc/tench/build.json"
)

const (
	// dataLate is when PID 1 goes on without the data partition although its
	// mount has not returned, because a dying disk can hold it up for ever.
	dataLate = diskWait + 10*time.Second
	// tellWait is when a person at the console is told what PID 1 waits for.
	tellWait = 3 * time.Second
	// menuWait is how long the loop may take to its first cycle, before which
	// it says where the menu is wanted. Then the menu comes up all the same, by
	// the board's settings: whatever is wrong with the loop, a person at the
	// console gets in. It does not come up earlier, because router.toml may
	// lock it, and because on a slow box it would hold up the network.
	menuWait = 5 * time.Second
	// readyGrace is how long after the first cycle the menu still leaves the
	// processor to the network: a DHCP server mostly answers within it.
	readyGrace = time.Second
)

// pid1 is the state of PID 1. Only the goroutine in run touches it, but for
// log, reaper and the channels.
type pid1 struct {
	born     time.Duration // time since the kernel started, when PID 1 did
	args     slots.Boot
	netboot  netboot.File // its Mode is "" unless the box was booted over the network
	board    boards.Board
	dog      *watchdog
	reaper   *proc.Reaper
	log      *logFile
	pulse    pulse
	dogErr   error // why it cannot be fed, told once
	told     bool  // that it waits for the data partition
	disk     dataWatch
	dataErr  error // what is wrong with the data partition; nil for nothing
	ready    bool
	loop     *running
	loopAt   time.Time // when loop was made
	menus    *running  // nil until the ready line, see menusDue
	menusAt  consoles  // where menus are, or will be
	door     *running  // nil until the menus run, and without [ssh]
	doorAt   door.Wish // where it listens, or will
	doorGone *running  // the one before it, which may still be ending
	doorIn   int       // the end of a pipe to write wishes to
	doorOut  *os.File  // the other end, which one door after the other reads; nil before the first

	firstCycle time.Time // of the loop
	trial      slotTrial
	past       past

	data     chan error   // how the mount of the data partition ended
	messages chan message // from the loop
	tasks    chan func()  // what other goroutines want done in run
	signals  chan os.Signal
}

// Init is PID 1: it brings the box up, keeps its children running, and takes it
// down in order. It never returns; when it panics, the box reboots.
func Init() {
	defer lastWords()
	p := &pid1{
		born:     uptime(),
		reaper:   proc.NewReaper(),
		log:      &logFile{path: filepath.Join(RunDir, LogName), max: maxLog, uptime: uptime},
		pulse:    pulse{born: time.Now()},
		data:     make(chan error, 1),
		messages: make(chan message),
		tasks:    make(chan func()),
		trial:    slotTrial{policy: health.Default, menus: map[string]bool{}},
		signals:  make(chan os.Signal, 8),
	}
	p.catchSignals()
	mountErr := mountEarly()
	if err := os.MkdirAll(RunDir, 0o755); err != nil {
		p.problem("%v", err)
	}
	if mountErr != nil {
		p.problem("%v", mountErr)
	}
	// ps shows it, and the menu looks for it before it signals PID 1.
	_ = os.WriteFile("/proc/self/comm", []byte(console.InitComm), 0)
	p.readFiles()
	// From here on the kernel sends ctrl-alt-del to PID 1 as SIGINT.
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF); err != nil {
		p.problem("ctrl-alt-del: %v", err)
	}
	if p.trial.on = p.args.Trial; p.trial.on {
		p.logf("slot %s is on trial; tries after this one: %d", p.args.Slot, p.args.Left)
	}
	p.spawn(func() {
		err := p.openData(DataDir)
		p.data <- err
		p.remember(err)
	})
	p.startWatchdog()
	p.spawn(func() { p.reaper.Run(context.Background()) })
	p.shutdown(p.run())
}

// catchSignals takes every signal that would end a Go process: the kernel
// protects PID 1 from signals without a handler only, and the Go runtime has
// one for each of these.
func (p *pid1) catchSignals() {
	signal.Notify(p.signals, unix.SIGINT, unix.SIGTERM, unix.SIGUSR2,
		unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT, unix.SIGUSR1, unix.SIGPIPE, unix.SIGALRM, unix.SIGVTALRM,
		unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGSYS, unix.SIGTRAP)
}

// readFiles reads what this boot and this image are, and puts the clock right
// as far as it can be: to the day the image was built.
func (p *pid1) readFiles() {
	text, err := os.ReadFile("/proc/cmdline")
	if err == nil {
		p.args, err = slots.ParseCmdline(string(text))
	}
	if err != nil {
		p.problem("%v", err)
	}
	if p.netboot, err = readNetboot("/"); err != nil {
		p.problem("%v", err)
	}
	var build buildInfo
	if text, err = os.ReadFile(buildFile); err == nil {
		build, err = parseBuildInfo(text)
	}
	if err != nil {
		p.problem("%v", err)
	}
	if floor := time.Unix(build.Epoch, 0); time.Now().Before(floor) {
		ts := unix.NsecToTimespec(floor.UnixNano())
		if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
			p.problem("clock: set to %s: %v", floor.UTC().Format(time.DateOnly), err)
		}
	}
	if text, err = os.ReadFile(BoardFile); err == nil {
		p.board, err = boards.Parse(BoardFile, build.Board, text)
	}
	if err != nil {
		// No trust without a board file; a menu that says so must do.
		p.board.Console = boards.Console{Device: activeConsole(), Speed: 115200}
		p.board.Watchdog.Timeout = 60
		p.problem("%v", err)
	}
	p.menusAt = consolesFor(p.board.Console, config.Console{})
}

// activeConsole is the last console= of the kernel, the one that is /dev/console.
func activeConsole() string {
	data, _ := os.ReadFile("/sys/class/tty/console/active")
	fields := strings.Fields(string(data))
	if len(fields) == 0 {
		return "ttyS0"
	}
	return fields[len(fields)-1]
}

func (p *pid1) startWatchdog() {
	var err error
	p.dog, err = openWatchdog("/sys/class/watchdog", "/dev", p.board.Watchdog.Driver, p.board.Watchdog.Timeout)
	if err != nil {
		p.problem("%v", err)
	}
	if p.dog != nil {
		p.logf("watchdog: %s bites after %d s", p.dog.identity, p.dog.timeout)
	}
}

// run decides until it is told to take the box down.
func (p *pid1) run() order {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case sig := <-p.signals:
			if o, ok := orders[sig]; ok {
				return o
			}
		case err := <-p.data:
			if p.loop != nil && (err == nil || !isSpare(DataDir)) { // a read-only one has the configuration, too
				p.lateData(err)
			} else {
				p.startLoop(err)
			}
			if err == nil {
				p.disk = watchData("/sys", DataDir)
			}
		case m := <-p.messages:
			p.take(m)
		case task := <-p.tasks:
			task()
		case now := <-tick.C:
			p.tick(now)
			if o, failed := p.judge(now); failed {
				return o
			}
		}
	}
}

// tick does what is due at the time now.
func (p *pid1) tick(now time.Time) {
	if p.pulse.feed(now) {
		if err := p.dog.feed(); err != nil && p.dogErr == nil {
			p.dogErr = err
			p.problem("%v", err)
		}
	}
	if err := p.disk.look(); err != nil && p.dataErr == nil {
		p.dataWrong(err)
	}
	if p.loop == nil && !p.told && p.netboot.Mode == "" && now.Sub(p.pulse.born) > tellWait {
		p.told = true
		say("tench: waiting up to %d s for disk %08x", int(diskWait.Seconds()), p.args.Disk)
	}
	if p.loop == nil && now.Sub(p.pulse.born) > dataLate {
		p.startLoop(fmt.Errorf("data: the mount has not returned for %d s", int(dataLate.Seconds())))
	}
	if p.pulse.hung(now) {
		why := "it completed no cycle for " + p.pulse.silence(now).Truncate(time.Second).String()
		p.pulse.started = now // the next one gets its time
		p.loop.kill(why)
	}
	if p.menus == nil && p.menusDue(now) {
		p.startMenus(p.menusAt)
	}
	p.matchDoor()
}

// menusDue reports whether the menus wait no longer for the ready line.
func (p *pid1) menusDue(now time.Time) bool {
	if !p.firstCycle.IsZero() {
		return now.Sub(p.firstCycle) > readyGrace
	}
	return p.loop != nil && now.Sub(p.loopAt) > menuWait
}

// take handles a message of the loop.
func (p *pid1) take(m message) {
	switch m.word {
	case wordCycle:
		p.pulse.cycled = time.Now()
		if p.firstCycle.IsZero() {
			p.firstCycle = p.pulse.cycled
		}
	case wordConsole:
		if p.menus == nil {
			p.menusAt = m.consoles
			return
		}
		p.startMenus(m.consoles)
	case wordDoor:
		p.doorAt = m.door
		p.matchDoor()
		p.tellDoor()
	case wordPolicy:
		p.trial.policy = m.policy
	case wordHealth:
		p.trial.reported, p.trial.network = true, m.wrong
	case wordReady:
		if !p.ready {
			p.ready = true
			now := uptime()
			line := readyLine(now, p.born, startedFrom(p.args.Slot, p.netboot.Mode), m.missing)
			say("%s", line)
			p.logf("%s; %.3f s after PID 1 started", line, (now - p.born).Seconds())
			p.startArrival()
		}
		if p.menus == nil {
			p.startMenus(p.menusAt)
		}
	}
}

func (p *pid1) logf(format string, args ...any) {
	p.log.add("init", fmt.Sprintf(format, args...))
}

// problem logs an error and shows it on the console.
func (p *pid1) problem(format string, args ...any) {
	p.logf(format, args...)
	alarm(format, args...)
}

// spawn runs f in a goroutine whose panic reboots the box. Every goroutine of
// PID 1 is started by it, except those of proc that read pipes.
func (p *pid1) spawn(f func()) {
	go func() {
		defer lastWords()
		f()
	}()
}

// lastWords, deferred, reboots the box after a panic in PID 1. A person at the
// console gets ten seconds to read why; the watchdog is no longer fed.
func lastWords() {
	cause := recover()
	if cause == nil {
		return
	}
	alarm("init: panic: %v; rebooting in 10 s", cause)
	for line := range strings.Lines(string(debug.Stack())) {
		say("%s", strings.TrimRight(line, "\n")) // the kernel ring takes ten lines in five seconds
	}
	go unix.Sync() // not waited for: a dead disk may never finish
	time.Sleep(10 * time.Second)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {} // the watchdog bites
}
