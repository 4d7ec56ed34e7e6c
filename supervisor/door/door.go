// Package door is the way into the box over SSH: the commands of tenchd, the
// menu and the shell, for those whose public key is in the box's identity.
//
//	door.go      Run: listening as wished, letting in
//	wish.go      Wish: where to listen
//	listen_*.go  a socket on one device
//	gate.go      what those who have not logged in may cost
//	login.go     algorithms, who may log in
//	keys.go      what an authorized key may do
//	hostkey.go   the box's own key
//	visit.go     a connection that has logged in: its channels
//	session.go   a channel's requests (RFC 4254, section 6)
//	words.go     command lines
//	child_*.go   the program of a session, on pipes or a pty
//	files.go     what sftp shows and takes
//	state.go     State, for the status
//	privileges_*.go what the process does without
//	quiet.go     log lines that strangers cause
//
// It is a process of its own, a child of PID 1. It takes no passwords, forwards
// nothing (ports, agents, X11), and reads no environment from the client. There
// is one user, root, because whoever has a shell on the box is that anyhow; what
// a key may do is restricted in authorized_keys.
package door

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options says where the door finds things.
type Options struct {
	DataDir  string    // identity below it, and the generations; on a box /data
	RunDir   string    // control socket, log, state; on a box /run/tench
	Incoming string    // the folder that sftp writes to, in RAM
	Wishes   io.Reader // a Wish on each line; the last one counts
	Program  string    // tenchd
	Shell    string    // a program of the path, or one with its path
	Log      func(format string, args ...any)
}

// Door is the state of the process.
type Door struct {
	o        Options
	host     hostKey
	config   *ssh.ServerConfig
	gate     *gate
	note     *notes
	refusals *quiet
	visits   sync.WaitGroup // connections, also those that have not logged in

	mu   sync.Mutex // guards keys
	keys []key      // as they were last read
}

// retry is when listening is tried again where it failed.
const retry = 5 * time.Second

// Run listens as wished until ctx or the wishes end, and returns when the last
// session is over.
func Run(ctx context.Context, o Options) error {
	host, err := loadHostKey(o.DataDir, o.RunDir)
	if err != nil {
		return fmt.Errorf("door: %w", err)
	}
	d := newDoor(o, host)
	ctx, stop := context.WithCancel(ctx)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer stop()
	writing.Go(func() { d.note.keep(ctx, o.RunDir, o.Log) })
	d.readKeys()
	d.obey(ctx)
	stop()
	d.visits.Wait()
	return nil
}

// obey keeps listening where it is wished.
func (d *Door) obey(ctx context.Context) {
	wishes := d.readWishes(ctx)
	open := sockets{d: d, listening: map[spot]net.Listener{}}
	defer open.match(ctx, Wish{})
	again := time.NewTicker(retry)
	defer again.Stop()
	var wish Wish
	for {
		select {
		case w, more := <-wishes:
			if !more {
				return
			}
			wish = w
		case <-again.C:
			d.lookForKeys()
			if !open.failed {
				continue
			}
		case <-ctx.Done():
			return
		}
		open.match(ctx, wish)
	}
}

// readWishes turns lines into wishes, until they end.
func (d *Door) readWishes(ctx context.Context) <-chan Wish {
	wishes := make(chan Wish)
	go func() {
		defer close(wishes)
		for lines := bufio.NewScanner(d.o.Wishes); lines.Scan(); {
			w, err := ParseWish(lines.Text())
			if err != nil {
				d.o.Log("%v", err)
				continue
			}
			select {
			case wishes <- w:
			case <-ctx.Done():
				return
			}
		}
	}()
	return wishes
}

// spot is a place to listen.
type spot struct {
	Device
	port int
}

// sockets are the places where the door listens; they belong to obey.
type sockets struct {
	d         *Door
	listening map[spot]net.Listener
	failed    bool     // somewhere
	problems  []string // of the last match
}

// match makes the sockets those of the wish.
func (s *sockets) match(ctx context.Context, w Wish) {
	want := map[spot]bool{}
	for _, dev := range w.Devices {
		want[spot{dev, w.Port}] = true
	}
	for at, l := range s.listening {
		if !want[at] {
			l.Close()
			delete(s.listening, at)
			s.d.o.Log("no longer listening on %s port %d", at.Name, at.port)
		}
	}
	before := strings.Join(s.problems, "\n")
	s.problems = nil
	var names []string
	for _, dev := range w.Devices {
		if err := s.listen(ctx, spot{dev, w.Port}); err != nil {
			s.problems = append(s.problems, err.Error())
			continue
		}
		names = append(names, dev.Name)
	}
	s.failed = len(s.problems) > 0
	if text := strings.Join(s.problems, "\n"); s.failed && text != before {
		s.d.o.Log("%s", strings.ReplaceAll(text, "\n", "; "))
	}
	s.d.note.update(func(st *State) { st.Port, st.Devices, st.Problems = w.Port, names, s.problems })
}

// listen makes a socket where there is none.
func (s *sockets) listen(ctx context.Context, at spot) error {
	if s.listening[at] != nil {
		return nil
	}
	l, err := listenOn(ctx, at.Device, at.port)
	if err != nil {
		return err
	}
	s.listening[at] = l
	s.d.o.Log("listening on %s port %d", at.Name, at.port)
	go s.d.accept(ctx, l)
	return nil
}

// accept lets connections in until the socket is closed.
func (d *Door) accept(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptor or memory left: that passes
			d.refusals.say("accept: %v", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		default:
			d.enter(ctx, conn)
		}
	}
}

// enter lets a connection try to log in, if the limits allow it.
func (d *Door) enter(ctx context.Context, conn net.Conn) {
	from := addressOf(conn.RemoteAddr())
	t, err := d.gate.enter(from, func() { conn.Close() })
	if err != nil {
		conn.Close()
		d.note.refused(func(s *State) *int { return &s.TurnedAway }, from, err.Error(), time.Now())
		d.refusals.say("turned away: %v", err)
		return
	}
	d.visits.Go(func() {
		defer conn.Close()
		defer t.gone()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		d.serve(ctx, conn, t)
	})
}
