package supervisor

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tench/boards"
	"tench/config"
	"tench/supervisor/door"
	"tench/supervisor/health"
)

// Words that start a line on the pipe from the loop to PID 1.
const (
	wordCycle   = "cycle"   // a cycle of the loop is complete
	wordReady   = "ready"   // the configured network is applied; what follows is missing
	wordConsole = "console" // where the menu is wanted: trusted or locked, speed, ports
	wordDoor    = "door"    // where the SSH door listens: port, devices; nothing for no door
	wordPolicy  = "policy"  // how long the box must be well, and by when
	wordHealth  = "health"  // what is wrong with the network, separated by "; "; nothing when nothing is
)

// message is a line from the loop as PID 1 reads it.
type message struct {
	word     string
	missing  string // with ready, e.g. "dhcp wan"; empty when nothing is
	consoles consoles
	door     door.Wish
	policy   health.Policy
	wrong    []string // with health, e.g. "dhcp wan: no server answers"
}

// policyLine is the line that tells PID 1 of [health]. The loop sends it when
// it sends consoles. Without a router.toml the default counts.
func policyLine(h config.Health) string {
	p := health.Policy{For: h.For, Within: h.Within}
	if p == (health.Policy{}) {
		p = health.Default
	}
	return fmt.Sprintf("%s %v %v", wordPolicy, p.For, p.Within)
}

// wrongSeparator stands between the reasons of a health message.
const wrongSeparator = "; "

// healthLine is the line that tells PID 1 what is wrong, before each cycle
// line: PID 1 forgets what a loop said when it starts another.
func healthLine(wrong []string) string {
	oneLine := strings.NewReplacer("\n", " ", wrongSeparator, ", ")
	var list []string
	for _, w := range wrong {
		list = append(list, oneLine.Replace(w))
	}
	return strings.TrimSpace(wordHealth + " " + strings.Join(list, wrongSeparator))
}

// consoles says where the serial menu runs. The loop tells PID 1, because
// router.toml may override the board, and PID 1 starts the menus, because they
// must live when the loop does not.
type consoles struct {
	trusted bool     // show the menu without asking who is there
	speed   int      // bit/s
	ports   []string // e.g. "ttyS0"
}

// consolesFor lays router.toml's [console] over the board's.
func consolesFor(b boards.Console, c config.Console) consoles {
	want := consoles{trusted: b.Menu, speed: b.Speed, ports: []string{b.Device}}
	if c.Trusted != nil {
		want.trusted = *c.Trusted
	}
	if c.Speed != 0 {
		want.speed = c.Speed
	}
	if len(c.Ports) > 0 {
		want.ports = c.Ports
	}
	return want
}

// String is the line that tells PID 1, e.g. "console trusted 115200 ttyS0". The
// loop sends it before its first cycle and whenever router.toml changes it.
func (c consoles) String() string {
	trust := "locked"
	if c.trusted {
		trust = "trusted"
	}
	return strings.Join(append([]string{wordConsole, trust, strconv.Itoa(c.speed)}, c.ports...), " ")
}

// maxWrong is how many bytes PID 1 takes of what is missing or wrong, which goes
// into log, console and flash; the status has all of it.
const maxWrong = 1000

// parseMessage reads a line from the loop.
func parseMessage(line string) (message, error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case wordCycle:
		return message{word: word}, nil
	case wordReady:
		return message{word: word, missing: rest[:min(len(rest), maxWrong)]}, nil
	case wordConsole:
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[0] != "trusted" && fields[0] != "locked" {
			return message{}, fmt.Errorf("loop: read message %q: want trusted or locked, speed, ports", line)
		}
		speed, err := strconv.Atoi(fields[1])
		if err != nil || speed <= 0 {
			return message{}, fmt.Errorf("loop: read message %q: %q is not a speed", line, fields[1])
		}
		return message{word: word, consoles: consoles{fields[0] == "trusted", speed, fields[2:]}}, nil
	case wordDoor:
		wish, err := door.ParseWish(rest)
		if err != nil {
			return message{}, fmt.Errorf("loop: read message %q: %w", line, err)
		}
		return message{word: word, door: wish}, nil
	case wordPolicy:
		f, w, _ := strings.Cut(rest, " ")
		long, err := time.ParseDuration(f)
		within, err2 := time.ParseDuration(w)
		if err != nil || err2 != nil || long <= 0 || within <= 0 {
			return message{}, fmt.Errorf("loop: read message %q: want two durations", line)
		}
		return message{word: word, policy: health.Policy{For: long, Within: within}}, nil
	case wordHealth:
		m := message{word: word}
		if rest != "" {
			m.wrong = strings.Split(rest[:min(len(rest), maxWrong)], wrongSeparator)
		}
		return m, nil
	}
	return message{}, fmt.Errorf("loop: read message: %q does not start with %s, %s, %s, %s, %s or %s",
		line, wordCycle, wordReady, wordConsole, wordPolicy, wordHealth, wordDoor)
}
