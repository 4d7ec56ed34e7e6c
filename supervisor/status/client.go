package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Client asks the loop over the control socket at Path, one connection for
// each question. It implements Handler, so that what holds a Handler can be
// tried without a socket.
type Client struct {
	Path    string // e.g. /run/tench/control
	Session string // see SessionEnv; "" on the box's console
}

var _ Handler = Client{}

// ErrNoLoop is in the chain of every error that means that nobody answers: the
// loop is not running, or hangs.
var ErrNoLoop = errors.New("the network loop does not answer")

// Status returns the tree of what is up.
func (c Client) Status(ctx context.Context) (Node, error) {
	resp, err := c.ask(ctx, Request{Do: DoStatus})
	return part(resp.Status, err)
}

// Why returns the chain of causes for the node called name.
func (c Client) Why(ctx context.Context, name string) ([]string, error) {
	resp, err := c.ask(ctx, Request{Do: DoWhy, Name: name})
	return resp.Lines, err
}

// Config returns the router.toml in force.
func (c Client) Config(ctx context.Context) (Config, error) {
	resp, err := c.ask(ctx, Request{Do: DoConfig})
	return part(resp.Config, err)
}

// Check reports what is wrong with a router.toml.
func (c Client) Check(ctx context.Context, text string) error {
	_, err := c.ask(ctx, Request{Do: DoCheck, Text: text})
	return err
}

// Window is how long a change that comes from here is on trial unless the
// operator says otherwise: over the network DefaultTrial, and on the box's own
// console, where nobody can be cut off, 0 for no trial.
func (c Client) Window() time.Duration {
	if c.Session == "" {
		return 0
	}
	return DefaultTrial
}

// Apply puts a router.toml in force.
func (c Client) Apply(ctx context.Context, change Change) (Outcome, error) {
	resp, err := c.ask(ctx, Request{Do: DoApply, Change: change})
	return part(resp.Outcome, err)
}

// Confirm keeps the generation on trial.
func (c Client) Confirm(ctx context.Context, number int) (Outcome, error) {
	resp, err := c.ask(ctx, Request{Do: DoConfirm, Number: number})
	return part(resp.Outcome, err)
}

// Rollback ends a trial, or brings an earlier generation back.
func (c Client) Rollback(ctx context.Context, number int, change Change) (Outcome, error) {
	resp, err := c.ask(ctx, Request{Do: DoRollback, Number: number, Change: change})
	return part(resp.Outcome, err)
}

// Generations lists the generations that the box keeps.
func (c Client) Generations(ctx context.Context) ([]Generation, error) {
	resp, err := c.ask(ctx, Request{Do: DoGenerations})
	return resp.Generations, err
}

// Generation returns one of them.
func (c Client) Generation(ctx context.Context, number int) (Config, error) {
	resp, err := c.ask(ctx, Request{Do: DoGeneration, Number: number})
	return part(resp.Config, err)
}

// Compare says how two generations, or one and a text, differ.
func (c Client) Compare(ctx context.Context, from, to int, text string) (Difference, error) {
	resp, err := c.ask(ctx, Request{Do: DoCompare, Number: from, To: to, Change: Change{Text: text}})
	return part(resp.Difference, err)
}

// part is what an answer is about, unless it was an error.
func part[T any](p *T, err error) (T, error) {
	if err == nil && p == nil {
		err = fmt.Errorf("control: the answer has no %T", *new(T))
	}
	if err != nil {
		return *new(T), err
	}
	return *p, nil
}

// SessionNews tells the loop that a session is alive, or that its connection
// broke.
func (c Client) SessionNews(ctx context.Context, session string, alive bool) error {
	c.Session = session
	do := DoSessionEnded
	if alive {
		do = DoSessionBegan
	}
	_, err := c.ask(ctx, Request{Do: do})
	return err
}

func (c Client) ask(ctx context.Context, req Request) (Response, error) {
	// A little longer than the server allows its Handler, whose error says more.
	ctx, cancel := context.WithTimeout(ctx, replyTimeout+idleTimeout)
	defer cancel()
	req.Session = c.Session
	line, err := c.exchange(ctx, req)
	if err != nil {
		if errors.Is(err, errTooLong) {
			return Response{}, err
		}
		return Response{}, fmt.Errorf("control: %w: %w\nhint: PID 1 restarts it; `tenchd log` tells why it stopped", ErrNoLoop, err)
	}
	var resp Response
	if err := json.Unmarshal(line, &resp); err != nil {
		return Response{}, fmt.Errorf("control: read answer: %w", err)
	}
	if resp.Error != "" {
		return Response{}, errors.New(resp.Error)
	}
	return resp, nil
}

// exchange sends req and returns the line that answers it.
func (c Client) exchange(ctx context.Context, req Request) ([]byte, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := send(conn, req); err != nil {
		return nil, err
	}
	return newLineReader(conn).next()
}
