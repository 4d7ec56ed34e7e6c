package supervisor

import (
	"context"
	"fmt"

	"tench/config"
	"tench/supervisor/status"
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
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	var none T
	select {
	case l.requests <- func() { value, err := work(); answers <- answer{value, err} }:
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
	return ask(ctx, c.l, func() (status.Config, error) { return c.l.current, nil })
}

// Check implements status.Handler. It needs nothing of the loop.
func (c control) Check(_ context.Context, text string) error {
	_, err := config.Parse(configName, []byte(text))
	return err
}

// Apply implements status.Handler: the file is stored before it is applied, so
// that what the box does is what it will do after the next boot.
func (c control) Apply(ctx context.Context, text string) (int, error) {
	cfg, err := config.Parse(configName, []byte(text))
	if err != nil {
		return 0, err
	}
	return ask(ctx, c.l, func() (int, error) { return c.l.apply(cfg, text) })
}

// apply stores a checked configuration and puts it in force: the cycle that
// follows every request does the rest.
func (l *loop) apply(cfg config.Config, text string) (int, error) {
	if l.current.Text == text && l.current.Problem == "" {
		return l.current.Generation, nil // nothing new to write to flash
	}
	n, err := l.store.Add([]byte(text))
	if err != nil {
		return 0, err
	}
	l.o.Log("config: generation %d is in force", n)
	l.cfg = cfg
	l.current = status.Config{Generation: n, Text: text}
	l.tellConfig()
	return n, nil
}

// loadConfig takes the current generation, or the newest older one that is
// usable. With none, the box comes up without a network, and the console says
// why.
func (l *loop) loadConfig() {
	g, problem, err := l.store.Load(func(name string, data []byte) error {
		cfg, err := config.Parse(name, data)
		if err == nil {
			l.cfg = cfg
		}
		return err
	})
	l.current = status.Config{Generation: g.Number, Text: string(g.Data)}
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
