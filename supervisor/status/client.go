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
	Path string // e.g. /run/tench/control
}

var _ Handler = Client{}

// ErrNoLoop is in the chain of every error that means that nobody answers: the
// loop is not running, or hangs.
var ErrNoLoop = errors.New("the network loop does not answer")

// Status returns the tree of what is up.
func (c Client) Status(ctx context.Context) (Node, error) {
	resp, err := c.ask(ctx, Request{Do: DoStatus})
	if err != nil {
		return Node{}, err
	}
	if resp.Status == nil {
		return Node{}, errors.New("control: the answer has no status")
	}
	return *resp.Status, nil
}

// Why returns the chain of causes for the node called name.
func (c Client) Why(ctx context.Context, name string) ([]string, error) {
	resp, err := c.ask(ctx, Request{Do: DoWhy, Name: name})
	return resp.Lines, err
}

// Config returns the router.toml in force.
func (c Client) Config(ctx context.Context) (Config, error) {
	resp, err := c.ask(ctx, Request{Do: DoConfig})
	if err != nil {
		return Config{}, err
	}
	if resp.Config == nil {
		return Config{}, errors.New("control: the answer has no config")
	}
	return *resp.Config, nil
}

// Check reports what is wrong with a router.toml.
func (c Client) Check(ctx context.Context, text string) error {
	_, err := c.ask(ctx, Request{Do: DoCheck, Text: text})
	return err
}

// Apply puts a router.toml in force and returns its generation.
func (c Client) Apply(ctx context.Context, text string) (int, error) {
	resp, err := c.ask(ctx, Request{Do: DoApply, Text: text})
	return resp.Generation, err
}

func (c Client) ask(ctx context.Context, req Request) (Response, error) {
	// A little longer than the server allows its Handler, whose error says more.
	ctx, cancel := context.WithTimeout(ctx, replyTimeout+idleTimeout)
	defer cancel()
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
