package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// SocketName is the control socket below the run directory, /run/tench/control
// on a box. Its mode is 0600: root alone may ask.
const SocketName = "control"

// MaxRequest is the longest request or response in bytes, newline included. A
// router.toml of a few hundred KiB fits with every byte of it escaped.
const MaxRequest = 2 << 20

// maxSession bounds the name of a session, in bytes: it is kept on flash.
const maxSession = 512

// What a Request can ask for.
const (
	DoStatus = "status" // Response.Status
	DoWhy    = "why"    // Name; Response.Lines
	DoConfig = "config" // Response.Config
	DoCheck  = "check"  // Text; Response.Error tells what is wrong with it

	// Generations. Number 0 means the one in force, or the one that is meant.
	DoApply       = "apply"       // Change, Session; Response.Outcome
	DoConfirm     = "confirm"     // Number; Response.Outcome
	DoRollback    = "rollback"    // Number, Change.Trial, Session; Response.Outcome
	DoGenerations = "generations" // Response.Generations
	DoGeneration  = "generation"  // Number; Response.Config
	DoCompare     = "compare"     // Number, and To or Change.Text; Response.Difference

	// What the SSH door tells. The end is that of a connection that broke, whose
	// operator may be cut off; not one that its client closed in order.
	DoSessionBegan = "session-began" // Session
	DoSessionEnded = "session-ended" // Session
)

// verbs are all that a Request can ask for.
var verbs = []string{DoStatus, DoWhy, DoConfig, DoCheck, DoApply, DoConfirm, DoRollback, DoGenerations, DoGeneration,
	DoCompare, DoSessionBegan, DoSessionEnded}

// Request is one line of JSON from a client, e.g. {"do":"why","name":"lan"}.
type Request struct {
	Do   string `json:"do"`
	Name string `json:"name,omitempty"` // why: the node
	Text string `json:"text,omitempty"` // check: a whole router.toml

	Change  Change `json:"change,omitzero"`
	Number  int    `json:"number,omitempty"`  // of a generation
	To      int    `json:"to,omitempty"`      // compare: the generation to compare with; 0: Change.Text
	Session string `json:"session,omitempty"` // see SessionEnv; "" for the box's console
}

// Response is one line of JSON in answer to a Request.
type Response struct {
	Error  string   `json:"error,omitempty"` // in the words for an operator, lines and hint included
	Status *Node    `json:"status,omitempty"`
	Lines  []string `json:"lines,omitempty"`
	Config *Config  `json:"config,omitempty"`

	Outcome     *Outcome     `json:"outcome,omitempty"`
	Generations []Generation `json:"generations,omitempty"`
	Difference  *Difference  `json:"difference,omitempty"`
}

// Config is the router.toml in force.
type Config struct {
	Generation int    `json:"generation"`        // 0: none is in force
	Text       string `json:"text"`              // its content
	Problem    string `json:"problem,omitempty"` // why the newest generation is not the one in force
	Newest     string `json:"newest,omitempty"`  // content of that newest generation, to be mended
	Trial      *Trial `json:"trial,omitempty"`   // when it is on trial
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
	// force, for good or on trial. A file with a mistake changes nothing.
	Apply(ctx context.Context, c Change) (Outcome, error)
	// Confirm makes the generation on trial permanent. With a number it is an
	// error when that is another one; the one in force for good is confirmed
	// already.
	Confirm(ctx context.Context, number int) (Outcome, error)
	// Rollback ends the trial under way, or brings an earlier generation back: the
	// one that number names, or for 0 the one before the current one. c says
	// whether that is on trial, too; its Text is not looked at.
	Rollback(ctx context.Context, number int, c Change) (Outcome, error)
	// Generations lists those that are kept, oldest first.
	Generations(ctx context.Context) ([]Generation, error)
	// Generation returns one of them; 0 is the one in force.
	Generation(ctx context.Context, number int) (Config, error)
	// Compare says how one generation (0: the one in force) differs from another,
	// or for to = 0 from text, which is checked like in Check.
	Compare(ctx context.Context, from, to int, text string) (Difference, error)
	// SessionNews takes the news that a session of the SSH door is alive, or that
	// its connection broke.
	SessionNews(ctx context.Context, session string, alive bool) error
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
	if !slices.Contains(verbs, req.Do) {
		return Request{}, fmt.Errorf("control: %q is not one of %s", req.Do, strings.Join(verbs, ", "))
	}
	if len(req.Session) > maxSession {
		return Request{}, fmt.Errorf("control: the name of the session has %d bytes; at most %d are allowed", len(req.Session), maxSession)
	}
	return req, nil
}

// answer does what req asks.
func answer(ctx context.Context, h Handler, req Request) Response {
	var resp Response
	var err error
	if req.Session != "" && req.Do != DoSessionEnded {
		// Whoever asks is there, whatever is asked.
		if err := h.SessionNews(ctx, req.Session, true); err != nil {
			return Response{Error: err.Error()}
		}
	}
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
	case DoSessionEnded:
		err = h.SessionNews(ctx, req.Session, false)
	default:
		resp, err = answerGenerations(ctx, h, req)
	}
	if err != nil {
		return Response{Error: err.Error()}
	}
	return resp
}

// answerGenerations does what req asks about generations.
func answerGenerations(ctx context.Context, h Handler, req Request) (resp Response, err error) {
	if err := req.Change.Check(); err != nil {
		return Response{}, err
	}
	req.Change.Session = req.Session
	var o Outcome
	switch req.Do {
	case DoApply:
		o, err = h.Apply(ctx, req.Change)
		resp.Outcome = &o
	case DoConfirm:
		o, err = h.Confirm(ctx, req.Number)
		resp.Outcome = &o
	case DoRollback:
		o, err = h.Rollback(ctx, req.Number, req.Change)
		resp.Outcome = &o
	case DoGenerations:
		resp.Generations, err = h.Generations(ctx)
	case DoGeneration:
		var c Config
		c, err = h.Generation(ctx, req.Number)
		resp.Config = &c
	case DoCompare:
		var d Difference
		d, err = h.Compare(ctx, req.Number, req.To, req.Change.Text)
		resp.Difference = &d
	}
	return resp, err
}
