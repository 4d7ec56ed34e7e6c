package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// SocketName is the control socket below the run directory, /run/tench/control
// on a box. Its mode is 0600: root alone may ask.
const SocketName = "control"

// MaxRequest is the longest request or response in bytes, newline included. A
// router.toml of a few hundred KiB fits with every byte of it escaped.
const MaxRequest = 2 << 20

// What a Request can ask for.
const (
	DoStatus = "status" // Response.Status
	DoWhy    = "why"    // Name; Response.Lines
	DoConfig = "config" // Response.Config
	DoCheck  = "check"  // Text; Response.Error tells what is wrong with it
	DoApply  = "apply"  // Text; Response.Generation
)

// Request is one line of JSON from a client, e.g. {"do":"why","name":"lan"}.
type Request struct {
	Do   string `json:"do"`
	Name string `json:"name,omitempty"` // why: the node
	Text string `json:"text,omitempty"` // check, apply: a whole router.toml
}

// Response is one line of JSON in answer to a Request.
type Response struct {
	Error      string   `json:"error,omitempty"` // in the words for an operator, lines and hint included
	Status     *Node    `json:"status,omitempty"`
	Lines      []string `json:"lines,omitempty"`
	Config     *Config  `json:"config,omitempty"`
	Generation int      `json:"generation,omitempty"`
}

// Config is the router.toml in force.
type Config struct {
	Generation int    `json:"generation"`        // 0: the one built into the image
	Text       string `json:"text"`              // its content
	Problem    string `json:"problem,omitempty"` // why the newest generation is not the one in force
	Newest     string `json:"newest,omitempty"`  // content of that newest generation, to be mended
}

// Handler is what the loop does for its clients. Its methods are called from
// several goroutines at once and give up when ctx ends. Errors are shown to the
// operator as they are.
type Handler interface {
	// Status returns the tree of what is up.
	Status(ctx context.Context) (Node, error)
	// Config returns the router.toml in force.
	Config(ctx context.Context) (Config, error)
	// Check reports what is wrong with a router.toml, and changes nothing.
	Check(ctx context.Context, text string) error
	// Apply checks a router.toml, stores it as a new generation and puts it in
	// force. It returns the generation's number. A file with a mistake changes
	// nothing.
	Apply(ctx context.Context, text string) (int, error)
}

// decodeRequest reads one line from a client, who may send anything.
func decodeRequest(line []byte) (Request, error) {
	var req Request
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		return Request{}, fmt.Errorf("control: read request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Request{}, errors.New("control: read request: more than one value on a line")
	}
	switch req.Do {
	case DoStatus, DoWhy, DoConfig, DoCheck, DoApply:
		return req, nil
	}
	return Request{}, fmt.Errorf("control: %q is not one of %s, %s, %s, %s, %s",
		req.Do, DoStatus, DoWhy, DoConfig, DoCheck, DoApply)
}

// answer does what req asks.
func answer(ctx context.Context, h Handler, req Request) Response {
	var resp Response
	var err error
	switch req.Do {
	case DoStatus, DoWhy:
		var root Node
		if root, err = h.Status(ctx); err != nil {
			break
		}
		if req.Do == DoStatus {
			resp.Status = &root
			break
		}
		resp.Lines, err = Why(root, req.Name)
	case DoConfig:
		var c Config
		if c, err = h.Config(ctx); err == nil {
			resp.Config = &c
		}
	case DoCheck:
		err = h.Check(ctx, req.Text)
	case DoApply:
		resp.Generation, err = h.Apply(ctx, req.Text)
	}
	if err != nil {
		return Response{Error: err.Error()}
	}
	return resp
}
