package supervisor

import "tench/supervisor/netstate"

// applyAll observes and changes the kernel's network and settings until
// nothing is left to do, or until the kernel refuses what is left.
func (l *loop) applyAll() {
	refused := map[string]error{}
	for range passes {
		state, err := netstate.Observe(l.sys)
		if err != nil {
			refused["observe"] = err
			break
		}
		l.state = state
		l.facts.Links = netstate.Links(state)
		l.want = l.compute()
		l.noteMTUs(state)
		changes := netstate.Plan(state, l.want)
		if !l.applyChanges(append(changes, netstate.PlanSettings(l.sys, l.want, l.kept)...), refused) {
			break
		}
	}
	for change, err := range refused {
		if l.refused[change] == nil {
			l.o.Log("%v", err)
		}
	}
	l.refused = refused
}

// applyChanges reports whether it changed anything. A change that the kernel
// refused is not tried again before the next cycle.
func (l *loop) applyChanges(changes []netstate.Change, refused map[string]error) bool {
	progress := false
	vain := map[string]bool{} // links that could not be made: nothing on them can be done
	for _, c := range changes {
		if refused[c.String()] != nil || vain[c.Link] {
			vain[c.Link] = vain[c.Link] || c.Makes
			continue
		}
		if err := netstate.Apply(l.sys, c); err != nil {
			refused[c.String()] = err
			vain[c.Link] = c.Makes
			continue
		}
		progress = true
		l.o.Log("%s", c)
	}
	return progress
}
