package build

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"tench/boards"
	"tench/build/farm"
)

// Farm is what other machines do for a build.
type Farm = farm.Farm

// ccache is the folder of the compiler cache.
func (p *plan) ccache() string { return filepath.Join(p.o.products(), "ccache") }

// farmJobs asks the farm for the compiler that is about to be called, and says
// how many of it to run at once. A host or a storage that does not answer costs
// time, not the build; a host with another compiler ends it.
func (p *plan) farmJobs(ctx context.Context, compiler string) (int, error) {
	for _, s := range p.o.Farm.Storages(ctx) {
		if s.Err != nil {
			p.o.Report.Warn(fmt.Sprintf("farm: %s cannot be reached, so only the own compiler cache is used: %v", s.What, s.Err))
		}
	}
	hosts, err := p.o.Farm.Probe(ctx, compiler)
	if err != nil {
		return 0, err
	}
	for _, h := range hosts {
		if errors.Is(h.Err, farm.ErrOther) {
			return 0, fmt.Errorf("farm: %s on host %s: %w\nhint: install the same package there, or leave the host out of %s",
				compiler, h.What, h.Err, farm.HostsVar)
		}
		if h.Err != nil {
			p.o.Report.Warn(fmt.Sprintf("farm: host %s compiles nothing: %v", h.What, h.Err))
		}
	}
	if p.o.Jobs != 0 {
		return p.o.Jobs, nil
	}
	return p.o.Farm.Jobs(ctx, runtime.NumCPU()), nil
}

// FarmState is one of the farm's things, and why it is of no use.
type FarmState = farm.State

// ExamineFarm asks the farm's storages, and each host for the boards' compilers.
func ExamineFarm(ctx context.Context, f Farm, list []boards.Board) ([]FarmState, error) {
	states := f.Storages(ctx)
	asked := map[string]bool{}
	for _, b := range list {
		compiler := b.Arch.Cross + "gcc"
		if asked[compiler] {
			continue
		}
		asked[compiler] = true
		hosts, err := f.Probe(ctx, compiler)
		if err != nil {
			return states, err
		}
		for _, h := range hosts {
			states = append(states, FarmState{What: compiler + " on " + h.What, Err: h.Err})
		}
	}
	return states, nil
}
