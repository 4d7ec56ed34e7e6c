package pxe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tench/pxe/event"
	"tench/pxe/track"
	"tench/pxe/web"
	"tench/release/netboot"
)

// controlName is a Unix socket in the state folder, by which other processes of
// the operator arm boxes. Who may open it, the folder's mode decides: it speaks
// HTTP with JSON and asks nobody who he is.
const controlName = "control"

// largest is the most bytes of a request there: a router.toml fits.
const largest = 1 << 20

func listenControl(state string) (net.Listener, error) {
	path := filepath.Join(state, controlName)
	// The table's lock says that no other server has it: it is a dead one's.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("pxe: control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("pxe: control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("pxe: control socket: %w", err)
	}
	return l, nil
}

// State is what tench pxe status shows.
type State struct {
	Interface string      `json:"interface"`
	Address   string      `json:"address"`
	Mode      string      `json:"mode"`
	Page      string      `json:"page"`
	AnyBoard  string      `json:"any-board,omitempty"`
	Boxes     []track.Box `json:"boxes"`
}

// failure is the answer to a request that was refused.
type failure struct {
	Error string `json:"error"`
}

func (s *Server) serveControl(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /arm", answer(s.Arm))
	mux.HandleFunc("POST /disarm", answer(func(ctx context.Context, r Request) (struct{}, error) { return struct{}{}, s.armory(ctx).Disarm(r.Box) }))
	mux.HandleFunc("POST /explain", answer(func(_ context.Context, r Request) (string, error) { return s.Explain(r.Box) }))
	mux.HandleFunc("POST /status", answer(func(context.Context, Request) (State, error) { return s.State(), nil }))
	return web.Serve(ctx, s.control, mux, web.Limits{Desk: true})
}

// answer makes a handler of what takes a request and gives an answer, and ends when
// who asked has gone.
func answer[T any](do func(context.Context, Request) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in Request
		var out any
		body := http.MaxBytesReader(w, r.Body, largest)
		d := json.NewDecoder(body)
		d.DisallowUnknownFields()
		err := d.Decode(&in)
		if err == nil {
			// That he has gone is seen once the body is read, and past the time for it.
			_, _ = io.Copy(io.Discard, body)
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
			out, err = do(r.Context(), in)
		}
		w.Header().Set("Content-Type", "application/json")
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			out = failure{err.Error()}
		}
		_ = json.NewEncoder(w).Encode(out) // who went away has nobody to tell
	}
}

// Arm arms one box. A board's name in place of a box's, with the mode run, makes
// a box of that board of every stranger.
func (s *Server) Arm(ctx context.Context, r Request) (track.Install, error) {
	a := s.armory(ctx)
	if a.names(r.Box) || r.Mode != netboot.Run || !slices.Contains(s.o.Boards, r.Box) {
		i, err := a.Arm(r)
		i.Token = ""
		return i, err
	}
	if _, err := s.load(ctx, r.Box); err != nil {
		return track.Install{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.any, s.anyRouter = r.Box, r.Router
	return track.Install{Order: track.Order{Board: r.Box, Mode: r.Mode}}, nil
}

// ArmAlone arms a box while no server runs. The next one finds it armed.
func ArmAlone(ctx context.Context, o Options, r Request) (track.Install, error) {
	s := newServer(o)
	defer s.Close()
	if err := s.openState(ctx); err != nil {
		return track.Install{}, err
	}
	if r.Mode == netboot.Run && !s.armory(ctx).names(r.Box) && slices.Contains(o.Boards, r.Box) {
		return track.Install{}, fmt.Errorf("pxe: %s is a board, which any box may run: %w", r.Box, ErrNoServer)
	}
	return s.Arm(ctx, r)
}

// DisarmAlone takes an arming back while no server runs.
func DisarmAlone(ctx context.Context, o Options, box string) error {
	s := newServer(o)
	defer s.Close()
	if err := s.openTable(); err != nil {
		return err
	}
	return s.armory(ctx).Disarm(box)
}

func (s *Server) armory(ctx context.Context) armory {
	return armory{state: s.o.State, table: s.table, list: s.inventory(), boards: s.o.Boards, ports: s.ports,
		product: func(board string) (Product, error) { return s.load(ctx, board) }, check: s.o.Check}
}

// Explain says what was heard of a box, and what it was answered and why.
func (s *Server) Explain(name string) (string, error) {
	box, mac, err := s.armory(context.Background()).find(Request{Box: name, Board: "any"})
	if err != nil {
		return "", err
	}
	heard := mac
	if _, err := event.ParseMAC(name); err != nil { // a box, by whichever of its ports
		heard = s.table.Heard(append(append([]event.MAC{mac}, box.MACs...), s.ports(box.Name)...))
	}
	if _, armed := s.table.Ordered(mac); heard == mac || !armed {
		return s.table.Explain(heard), nil
	}
	return s.table.Explain(mac) + "\n" + s.table.Explain(heard), nil
}

// State is what goes on.
func (s *Server) State() State {
	return State{Interface: s.o.Interface.Name, Address: s.o.Address.String(), Mode: string(s.dhcpMode()),
		Page: s.Page(), AnyBoard: s.anyBoard(), Boxes: s.table.Snapshot()}
}
