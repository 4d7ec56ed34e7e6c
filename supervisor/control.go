package supervisor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"tench/config"
	"tench/supervisor/status"
	"tench/supervisor/system"
	"tench/supervisor/update"
)

// configName is what the file is called in messages, wherever it came from.
const configName = "router.toml"

// control answers the clients of the control socket. Its methods run on the
// clients' goroutines and hand the work to the loop's own.
type control struct{ l *loop }

var _ status.Handler = control{}

// ask runs work on the loop's goroutine and returns what it answers. When ctx
// ends first the work may still be done, but its answer goes nowhere.
func ask[T any](ctx context.Context, l *loop, work func() (T, error)) (T, error) {
	return await(ctx, l, func(answer func(T, error)) { answer(work()) })
}

// change is ask for work that changes the configuration: the answer waits until
// the cycle that puts it in force is over. Before, a new connection would get in
// over what the change is about to take away, and confirm it.
func change(ctx context.Context, l *loop, work func() (status.Outcome, error)) (status.Outcome, error) {
	return await(ctx, l, func(answer func(status.Outcome, error)) {
		o, err := work()
		l.afterCycle = append(l.afterCycle, func() { answer(o, err) })
	})
}

// await hands work to the loop's goroutine and returns the answer that it gives,
// once, then or later.
func await[T any](ctx context.Context, l *loop, work func(answer func(T, error))) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	var none T
	select {
	case l.requests <- func() { work(func(value T, err error) { answers <- answer{value, err} }) }:
	case <-ctx.Done():
		return none, fmt.Errorf("control: the loop is busy: %w", ctx.Err())
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
		return none, fmt.Errorf("control: the loop is busy: %w", ctx.Err())
	}
}

// Status implements status.Handler.
func (c control) Status(ctx context.Context) (status.Node, error) {
	return ask(ctx, c.l, func() (status.Node, error) { return c.l.tree(), nil })
}

// Config implements status.Handler.
func (c control) Config(ctx context.Context) (status.Config, error) {
	return ask(ctx, c.l, func() (status.Config, error) { return c.l.inForce(), nil })
}

// Check implements status.Handler. It needs nothing of the loop.
func (c control) Check(_ context.Context, text string) error {
	_, err := config.Parse(configName, []byte(text))
	return err
}

// Apply implements status.Handler: the file is stored before it is applied, so
// that what the box does is what it will do after the next boot, or for a trial
// what it will have undone.
func (c control) Apply(ctx context.Context, wanted status.Change) (status.Outcome, error) {
	cfg, err := config.Parse(configName, []byte(wanted.Text))
	if err != nil {
		return status.Outcome{}, err
	}
	return change(ctx, c.l, func() (status.Outcome, error) { return c.l.apply(cfg, wanted, 0) })
}

// Confirm implements status.Handler.
func (c control) Confirm(ctx context.Context, number int) (status.Outcome, error) {
	return ask(ctx, c.l, func() (status.Outcome, error) { return c.l.confirm(number) })
}

// Rollback implements status.Handler.
func (c control) Rollback(ctx context.Context, number int, wanted status.Change) (status.Outcome, error) {
	return change(ctx, c.l, func() (status.Outcome, error) { return c.l.rollback(number, wanted) })
}

// Generations implements status.Handler.
func (c control) Generations(ctx context.Context) ([]status.Generation, error) {
	return ask(ctx, c.l, c.l.generations)
}

// Generation implements status.Handler.
func (c control) Generation(ctx context.Context, number int) (status.Config, error) {
	return ask(ctx, c.l, func() (status.Config, error) { return c.l.generation(number) })
}

// Compare implements status.Handler.
func (c control) Compare(ctx context.Context, from, to int, text string) (status.Difference, error) {
	old, err := c.Generation(ctx, from)
	if err != nil {
		return status.Difference{}, err
	}
	if to == 0 {
		if err := c.Check(ctx, text); err != nil {
			return status.Difference{}, err
		}
		return compare(old, text, configName), nil
	}
	changed, err := c.Generation(ctx, to)
	if err != nil {
		return status.Difference{}, err
	}
	return compare(old, changed.Text, generationName(to)), nil
}

// SessionNews implements status.Handler.
func (c control) SessionNews(ctx context.Context, session string, alive bool) error {
	_, err := ask(ctx, c.l, func() (struct{}, error) {
		c.l.sessionNews(update.Session(session), alive)
		return struct{}{}, nil
	})
	return err
}

// loadConfig takes the current generation, or the newest older one that is
// usable. With none, the box comes up without a network, and the console says
// why. What an earlier loop left on trial is over.
func (l *loop) loadConfig() {
	if r, why, err := l.store.Settle(l.sys.BootID()); err != nil {
		l.o.Log("config: %v", err)
	} else if why != "" {
		l.ended = fmt.Sprintf("generation %d was taken back: %s", r.Number, why)
		l.o.Log("config: %s", l.ended)
		if g, err := l.generation(r.Number); err == nil {
			l.tried, _ = config.Parse(generationName(r.Number), []byte(g.Text)) // none where it is damaged
		}
	}
	g, problem, err := l.store.Load(func(name string, data []byte) error {
		cfg, err := config.Parse(name, data)
		if err == nil {
			l.cfg = cfg
		}
		return err
	})
	if err != nil && !errors.Is(err, update.ErrNone) && l.resume() {
		l.current.Problem = err.Error()
		l.o.Log("config: %v", err)
		l.o.Log("config: generation %d stays in force", l.current.Generation)
		return
	}
	l.current = status.Config{Generation: g.Number, Text: string(g.Data)}
	if err == nil {
		l.keepInForce()
	}
	if problem == nil {
		problem = err
	}
	if problem == nil {
		return
	}
	l.current.Problem = problem.Error()
	if newest, err := l.store.Current(); err == nil {
		l.current.Newest = string(newest.Data)
	}
	l.o.Log("config: %v", problem)
	if err == nil {
		l.o.Log("config: generation %d stays in force", g.Number)
	}
}

// inForceName is a file below the run directory, in RAM, with the router.toml in
// force for good, as a status.Config.
const inForceName = "in-force.json"

// keepInForce writes it.
func (l *loop) keepInForce() {
	if err := system.WriteJSON(filepath.Join(l.o.RunDir, inForceName), l.current); err != nil {
		l.o.Log("config: %v", err)
	}
}

// resume goes on with what the loop before this one had in force, where the disk
// has died since. Without a router.toml this one would take the network down.
func (l *loop) resume() bool {
	c, err := system.ReadJSON[status.Config](filepath.Join(l.o.RunDir, inForceName))
	if err != nil || c.Generation == 0 {
		return false
	}
	cfg, err := config.Parse(configName, []byte(c.Text))
	if err != nil {
		return false // of another image, in a lab
	}
	l.cfg, l.current = cfg, status.Config{Generation: c.Generation, Text: c.Text}
	return true
}
