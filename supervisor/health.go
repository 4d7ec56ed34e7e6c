package supervisor

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"tench/config"
	"tench/supervisor/health"
	"tench/supervisor/reach"
	"tench/supervisor/status"
)

// readTrial asks PID 1's note whether the slot is on trial. A note that cannot
// be read changes nothing.
func (l *loop) readTrial() {
	if n, err := health.ReadNote(l.o.RunDir); err == nil {
		l.slotOnTrial = n.Trial
	}
}

// unhealthy lists what keeps the box from being well: that router.toml is not
// in force, or not all of it, and what [health] asks for besides.
func (l *loop) unhealthy() []string {
	var list []string
	if l.current.Problem != "" {
		first, _, _ := strings.Cut(l.current.Problem, "\n")
		list = append(list, configName+": "+first)
	}
	optional := l.cfg.Health.Optional
	for _, m := range l.want.Missing {
		if !slices.Contains(optional, m.Interface) && !slices.Contains(optional, m.Over) {
			list = append(list, m.Interface+": "+m.Cause)
		}
	}
	for _, d := range l.want.DHCP {
		if _, bound := l.facts.Leases[d.Interface]; !bound && !slices.Contains(optional, d.Interface) {
			list = append(list, l.unitWrong("dhcp "+d.Interface))
		}
	}
	for _, change := range slices.Sorted(maps.Keys(l.refused)) {
		if name, _, _ := strings.Cut(change, ": "); !slices.Contains(optional, name) {
			list = append(list, l.refused[change].Error())
		}
	}
	for _, name := range l.cfg.Health.Units {
		if !l.facts.Units[name].OK {
			list = append(list, l.unitWrong(name))
		}
	}
	for _, i := range l.cfg.Interfaces {
		if slices.Contains(l.cfg.Health.Maintenance, i.Name) {
			list = append(list, l.maintenanceWrong(i)...)
		}
	}
	if l.slotOnTrial {
		for _, t := range l.cfg.Health.Reach {
			if name := reach.Name(t); !l.facts.Units[name].OK {
				list = append(list, l.unitWrong(name))
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// unitWrong is a unit in its own words, e.g. "dhcp wan: asking: no server
// answers".
func (l *loop) unitWrong(name string) string {
	return name + ": " + cmp.Or(l.facts.Units[name].Text, "it has not reported yet")
}

// maintenanceWrong is what keeps the operator from getting in by an interface.
func (l *loop) maintenanceWrong(i config.Interface) []string {
	want, found := l.wantedLink(i.Name)
	if state, cause := l.linkState(i, want, found); cause != "" {
		return []string{i.Name + " " + state + ": " + cause}
	}
	for _, a := range l.state.Addresses {
		if a.Link == want.Name && !a.Prefix.Addr().IsLinkLocalUnicast() {
			return nil
		}
	}
	return []string{i.Name + ": it has no address"}
}

// slotNodes tell which slot runs and how its trial goes, how the last one went,
// and why the kernel crashed last, all from PID 1's note.
func slotNodes(runDir string) []status.Node {
	n, err := health.ReadNote(runDir)
	if err != nil {
		return []status.Node{{Name: "slot", State: "unknown", Cause: err.Error()}}
	}
	var list []status.Node
	if n.Slot != "" {
		node := status.Node{Name: "slot", State: n.Slot, OK: !n.Trial,
			Facts: map[string]string{"slot": n.Slot, "health": string(n.Outcome), "trial": yes(n.Trial)}}
		if n.Trial {
			node.Cause = "on trial: " + cmp.Or(strings.Join(n.Reasons, "; "), "well, but not for "+n.For+" yet")
		}
		list = append(list, node)
	}
	if n.LastTrial != "" {
		list = append(list, status.Node{Name: "last trial", State: "kept", OK: true, Detail: []string{n.LastTrial}})
	}
	if n.LastCrash != "" {
		list = append(list, status.Node{Name: "last crash", State: "kept", OK: true, Detail: []string{n.LastCrash}})
	}
	return list
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
