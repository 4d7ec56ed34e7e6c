package pxe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"

	"tench/pxe/event"
	"tench/pxe/track"
)

// ErrNoServer is that no server runs which has the state folder.
var ErrNoServer = errors.New("no tench pxe serve runs")

// Client speaks to the server that has a state folder.
type Client struct{ http http.Client }

// Dial makes a client; whether a server runs, the first question shows.
func Dial(state string) *Client {
	path := filepath.Join(state, controlName)
	var c Client
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	return &c
}

// Arm is Server.Arm.
func (c *Client) Arm(ctx context.Context, r Request) (track.Install, error) {
	var i track.Install
	return i, c.ask(ctx, "arm", r, &i)
}

// Disarm takes back what a box was armed for.
func (c *Client) Disarm(ctx context.Context, box string) error {
	return c.ask(ctx, "disarm", Request{Box: box}, &struct{}{})
}

// Explain is Server.Explain.
func (c *Client) Explain(ctx context.Context, box string) (string, error) {
	var text string
	return text, c.ask(ctx, "explain", Request{Box: box}, &text)
}

// State is Server.State.
func (c *Client) State(ctx context.Context) (State, error) {
	var s State
	return s, c.ask(ctx, "status", Request{}, &s)
}

// ask puts a question, and reads the answer into out.
func (c *Client) ask(ctx context.Context, what string, in Request, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tench/"+what, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("pxe: %w\nhint: the server belongs to somebody else: sudo", err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("pxe: %w\nhint: sudo bin/tench pxe serve -i eth1", ErrNoServer)
	case err != nil:
		return fmt.Errorf("pxe: ask the server: %w", err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("pxe: ask the server: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		var f failure
		if err := json.Unmarshal(data, &f); err != nil || f.Error == "" {
			return fmt.Errorf("pxe: the server answers %s: %s", res.Status, event.Plain(strings.TrimSpace(string(data)), 200))
		}
		return errors.New(f.Error)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("pxe: read the server's answer: %w", err)
	}
	return nil
}
