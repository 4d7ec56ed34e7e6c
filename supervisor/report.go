package supervisor

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tench/config"
	"tench/supervisor/desired"
	"tench/supervisor/status"
	"tench/supervisor/unit"
)

// tree draws the status of the box from what the loop knows. Names are those
// of router.toml, so that `tenchd why lan` works.
func (l *loop) tree() status.Node {
	root := status.Node{Name: l.want.Hostname, State: "up", OK: true}
	if root.Name == "" {
		root.Name = "box"
	}
	if l.board.Title != "" {
		root.Detail = append(root.Detail, l.board.Title)
	}
	root.Detail = append(root.Detail, "release "+cmp.Or(l.release, "unknown"), "up "+l.sys.Boottime().Round(time.Second).String())
	root.Children = slices.Concat(l.image(), slotNodes(l.o.RunDir), dataNodes(l.o.RunDir), []status.Node{l.configNode()})
	for _, i := range l.cfg.Interfaces {
		root.Children = append(root.Children, l.interfaceNode(i))
	}
	for _, r := range l.cfg.Routes {
		root.Children = append(root.Children, l.routeNode(r))
	}
	root.Children = append(root.Children, l.dnsNode(), l.clockNode())
	if n, ok := l.doorNode(time.Now()); ok {
		root.Children = append(root.Children, n)
	}
	root.Children = append(root.Children, quirkNodes(l.board, "/")...)
	if len(l.refused) > 0 {
		root.Children = append(root.Children, l.refusedNode())
	}
	for _, c := range root.Children {
		if !c.OK {
			root.OK, root.State = false, "degraded"
		}
	}
	return root
}

// configNode tells which router.toml is in force, and why not a newer one.
func (l *loop) configNode() status.Node {
	n := status.Node{Name: "config", State: fmt.Sprintf("generation %d", l.current.Generation), OK: true}
	if l.current.Generation == 0 {
		n.State = "none"
	}
	if l.current.Problem != "" {
		n.OK, n.Cause = false, inLine(l.current.Problem)
	}
	if l.ended != "" {
		n.Detail = append(n.Detail, l.ended)
	}
	if t := l.trialNow(); t != nil {
		n.Children = append(n.Children, status.Node{Name: "trial", State: t.TimeLeft().String() + " left", OK: true,
			Detail: []string{t.String(), "`tenchd confirm` keeps it"},
			Facts: map[string]string{"generation": fmt.Sprint(t.Generation), "back": fmt.Sprint(t.Back),
				"seconds-left": fmt.Sprint(t.Left), "session": t.Session}})
	}
	return n
}

// dataNodes tell what is wrong with the data partition, as PID 1 says; there is
// none where it is well.
func dataNodes(runDir string) []status.Node {
	note, err := os.ReadFile(filepath.Join(runDir, DataProblemName))
	if err != nil {
		return nil
	}
	return []status.Node{{Name: "data partition", State: "trouble", Cause: inLine(string(note))}}
}

// inLine puts a text of several lines, such as an error with a hint, into one: a
// node has no more.
func inLine(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// interfaceNode tells how one interface of router.toml does.
func (l *loop) interfaceNode(i config.Interface) status.Node {
	n := status.Node{Name: i.Name, State: "up", OK: true}
	if i.Over != "" {
		n.Needs = append(n.Needs, i.Over)
	}
	want, found := l.wantedLink(i.Name)
	link := l.facts.Links[want.Name]
	if link.Name != "" {
		n.Detail = append(n.Detail, describe(link))
	}
	n.State, n.Cause = l.linkState(i, want, found)
	n.OK = n.Cause == ""
	for _, a := range l.state.Addresses {
		if found && a.Link == want.Name {
			n.Detail = append(n.Detail, a.Prefix.String())
		}
	}
	if i.DHCP4.Enabled && i.Up {
		child := l.dhcpNode(i.Name)
		if n.OK && !child.OK {
			n.OK, n.State, n.Cause = false, "waiting", "no address from DHCP"
		}
		n.Children = append(n.Children, child)
	}
	return n
}

// linkState is an interface's state, and the cause where it is not as
// router.toml wants it.
func (l *loop) linkState(i config.Interface, want desired.Link, found bool) (state, cause string) {
	link := l.facts.Links[want.Name]
	switch {
	case !found:
		return "missing", cmp.Or(l.missingCause(i.Name), "it is not set up yet")
	case link.Name == "":
		return "missing", "there is no device " + want.Name
	case !i.Up:
		return "off", "" // as router.toml wants it
	case !link.Up:
		return "down", want.Name + " is not up"
	case !link.Carrier && i.Kind != config.Loopback:
		return "down", "no carrier on " + want.Name
	}
	if cause := l.missingCause(i.Name); cause != "" {
		return "incomplete", cause // e.g. a lease that cannot be used
	}
	for _, change := range slices.Sorted(maps.Keys(l.refused)) {
		if strings.HasPrefix(change, i.Name+": ") {
			return "refused", inLine(l.refused[change].Error())
		}
	}
	return "up", ""
}

func (l *loop) missingCause(name string) string {
	for _, m := range l.want.Missing {
		if m.Interface == name {
			return m.Cause
		}
	}
	return ""
}

func (l *loop) wantedLink(name string) (desired.Link, bool) {
	for _, w := range l.want.Links {
		if w.Interface == name {
			return w, true
		}
	}
	return desired.Link{}, false
}

// describe is a device in a few words, e.g. "eth0 52:54:00:12:34:56 mtu 1500".
func describe(l unit.Link) string {
	words := []string{l.Name}
	if l.MAC != "" {
		words = append(words, l.MAC)
	}
	if l.Kind == "vlan" {
		words = append(words, fmt.Sprintf("vlan %d on %s", l.VLANID, l.Parent))
	}
	if l.Master != "" {
		words = append(words, "in "+l.Master)
	}
	return strings.Join(append(words, fmt.Sprintf("mtu %d", l.MTU)), " ")
}

// dhcpNode tells how a DHCP client does, in its own words: "bound 10.0.2.15/24
// from …", "asking: no server answers".
func (l *loop) dhcpNode(name string) status.Node {
	n := status.Node{Name: "dhcp " + name, State: "starting", Cause: "it has not reported yet"}
	s, ok := l.facts.Units[n.Name]
	if !ok {
		return n
	}
	state, rest, _ := strings.Cut(s.Text, " ")
	n.State, n.OK, n.Cause = strings.TrimSuffix(state, ":"), s.OK, ""
	switch {
	case s.OK && rest != "":
		n.Detail = append(n.Detail, rest)
	case !s.OK:
		n.Cause = cmp.Or(rest, "it has no lease yet")
	}
	return n
}

func (l *loop) routeNode(r config.Route) status.Node {
	n := status.Node{Name: desired.RouteName(r), State: "up", OK: true}
	if r.Via.IsValid() {
		n.Detail = append(n.Detail, "via "+r.Via.String())
	}
	if r.Interface != "" {
		n.Needs = append(n.Needs, r.Interface)
	}
	for _, m := range l.want.Missing {
		if m.Interface == n.Name {
			n.OK, n.State, n.Cause = false, "missing", m.Cause
		}
	}
	return n
}

func (l *loop) dnsNode() status.Node {
	n := status.Node{Name: "dns", State: "set", OK: true}
	if len(l.want.DNS) == 0 {
		n.State = "none" // a router may well do without
	}
	for _, s := range l.want.DNS {
		n.Detail = append(n.Detail, s.String())
	}
	return n
}

func (l *loop) clockNode() status.Node {
	n := status.Node{Name: "clock", State: "not set", OK: true}
	switch {
	case l.facts.Clock.Set:
		n.State = "set"
		n.Detail = append(n.Detail, fmt.Sprintf("by %s at %s", l.facts.Clock.Server, l.facts.Clock.When.UTC().Format(time.RFC3339)))
	case len(l.want.NTP) > 0:
		n.OK, n.Cause = false, "no NTP server has answered"
		if s := l.facts.Units["clock"]; s.Text != "" {
			n.Cause = s.Text
		}
	}
	return n
}

// refusedNode lists what the kernel refused.
func (l *loop) refusedNode() status.Node {
	n := status.Node{Name: "refused", State: "errors", Cause: "the kernel refused a change"}
	for _, change := range slices.Sorted(maps.Keys(l.refused)) {
		n.Detail = append(n.Detail, inLine(l.refused[change].Error()))
	}
	return n
}
