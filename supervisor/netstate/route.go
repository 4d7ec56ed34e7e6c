package netstate

import (
	"fmt"
	"slices"
	"strings"

	"tench/supervisor/desired"
	"tench/supervisor/system"
)

// kernelMetric6 is what the kernel makes of an IPv6 route without a metric
// (IP6_RT_PRIO_USER).
const kernelMetric6 = 1024

// planRoutes adds what is missing, directly connected ones first because
// gateways may be behind them, and then removes what is too many. A route of
// ours with the same destination and metric is replaced in one step, so that
// there is no moment without one.
func (p *planner) planRoutes() {
	extra, kept := p.sortRoutes()
	for _, w := range p.missingRoutes(kept) {
		how := system.Append
		if !slices.ContainsFunc(kept, func(k system.Route) bool { return sameKey(k, w) }) {
			i := slices.IndexFunc(extra, func(e system.Route) bool { return sameKey(e, w) })
			if i >= 0 {
				extra = slices.Delete(extra, i, i+1)
			}
			// In IPv6 routes with the same key live beside each other, and one
			// from a router advertisement must not be replaced.
			if i >= 0 || w.To.Addr().Is4() {
				how = system.Replace
			}
		}
		kept = append(kept, w)
		p.addRoute(w, how)
	}
	for _, r := range extra {
		p.routeChange(r, "remove "+describe(r), func(sys system.System) error { return sys.DeleteRoute(r) })
	}
}

func (p *planner) addRoute(r system.Route, how system.AddMode) {
	p.routeChange(r, "add "+describe(r), func(sys system.System) error { return sys.AddRoute(r, how) })
}

// routeChange appends a change to the routing table.
func (p *planner) routeChange(r system.Route, text string, do func(system.System) error) {
	on := "routes"
	if r.Link != "" {
		on = p.label(r.Link)
	}
	p.changes = append(p.changes, Change{On: on, Text: text, Link: r.Link, do: do})
}

// sortRoutes splits the routes in the kernel into those to remove and those of
// ours that stay.
func (p *planner) sortRoutes() (extra, kept []system.Route) {
	for _, r := range p.have.Routes {
		if _, stays := p.now[r.Link]; !stays && r.Link != "" {
			continue // goes with its link
		}
		switch {
		case r.Protocol == system.ProtocolRA:
			if w, wanted := p.wanted[r.Link]; wanted && !w.SLAAC {
				extra = append(extra, r)
			}
		case slices.ContainsFunc(p.want.Routes, func(w desired.Route) bool { return matches(r, w) }):
			kept = append(kept, r)
		default:
			extra = append(extra, r)
		}
	}
	return extra, kept
}

// missingRoutes are the desired ones that are not among kept and can be had.
func (p *planner) missingRoutes(kept []system.Route) []system.Route {
	var direct, via []system.Route
	for _, w := range p.want.Routes {
		if slices.ContainsFunc(kept, func(k system.Route) bool { return matches(k, w) }) {
			continue
		}
		if w.Link != "" && !(p.managed(w.Link) && p.comesUp(p.wanted[w.Link])) {
			continue // no route over a link that is down
		}
		r := system.Route{
			To: w.To.Masked(), Via: w.Via, Link: w.Link, Metric: metric(w), Table: w.Table,
			Protocol: system.ProtocolTench, Blackhole: w.Blackhole,
		}
		if w.Via.IsValid() {
			via = append(via, r)
		} else {
			direct = append(direct, r)
		}
	}
	return append(direct, via...)
}

// metric is the metric that the kernel will report.
func metric(w desired.Route) int {
	if w.Metric == 0 && w.To.Addr().Is6() {
		return kernelMetric6
	}
	return w.Metric
}

// matches tells whether a route in the kernel is the desired one.
func matches(r system.Route, w desired.Route) bool {
	return r.Protocol == system.ProtocolTench && r.To == w.To.Masked() && r.Via == w.Via && r.Table == w.Table &&
		r.Metric == metric(w) && r.Blackhole == w.Blackhole && (w.Link == "" || w.Link == r.Link)
}

// sameKey tells whether two routes compete for the same place.
func sameKey(a, b system.Route) bool {
	return a.Protocol == b.Protocol && a.To == b.To && a.Metric == b.Metric && a.Table == b.Table
}

// describe is a route as iproute2 writes it, e.g.
// "route 10.0.0.0/8 via 192.168.1.254 metric 10 table 100".
func describe(r system.Route) string {
	var b strings.Builder
	b.WriteString("route ")
	if r.Blackhole {
		b.WriteString("blackhole ")
	}
	if r.To.Bits() == 0 {
		b.WriteString("default")
	} else {
		b.WriteString(r.To.String())
	}
	if r.Via.IsValid() {
		b.WriteString(" via " + r.Via.String())
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.Table != mainTable {
		fmt.Fprintf(&b, " table %d", r.Table)
	}
	return b.String()
}

// mainTable is RT_TABLE_MAIN of rtnetlink(7).
const mainTable = 254
