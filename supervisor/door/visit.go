package door

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"tench/supervisor/status"
)

// Bounds on those who have logged in.
const (
	maxVisits   = 32 // connections
	maxSessions = 10 // on one connection, as sshd(8) has it
	tellTime    = 2 * time.Second
)

// visit is a connection that has logged in.
type visit struct {
	d    *Door
	id   string // status.SessionEnv of what it runs, e.g. "anna@desk/k3jx2m5c"
	conn *ssh.ServerConn
	key  key
}

// serve serves the channels of the connection until it ends.
func (v *visit) serve(ctx context.Context, channels <-chan ssh.NewChannel) {
	defer v.conn.Close()
	v.id = v.key.operator() + "/" + strings.ToLower(rand.Text()[:8])
	if !v.begin() {
		v.d.o.Log("turned away %s: there are %d sessions", v.conn.RemoteAddr(), maxVisits)
		return
	}
	ctx, stop := context.WithCancel(ctx)
	var sessions sync.WaitGroup
	places := make(chan struct{}, maxSessions)
	for c := range channels {
		if c.ChannelType() != "session" {
			_ = c.Reject(ssh.Prohibited, "this box forwards nothing")
			continue
		}
		select {
		case places <- struct{}{}:
		default:
			_ = c.Reject(ssh.ResourceShortage, "too many sessions on this connection")
			continue
		}
		sessions.Go(func() {
			defer func() { <-places }()
			channel, requests, err := c.Accept()
			if err != nil {
				return // the connection is gone
			}
			s := session{v: v, channel: channel}
			s.serve(ctx, requests)
		})
	}
	stop()
	sessions.Wait()
	v.end(broken(v.conn.Wait()))
}

// broken reports whether a connection that ended with err was cut: its client
// neither said good-bye nor let its system say it (FIN).
func broken(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "disconnect, reason") // the library has no type for it
}

// begin notes the visit, if there is a place for it.
func (v *visit) begin() bool {
	from := addressOf(v.conn.RemoteAddr())
	ok := false
	v.d.note.update(func(s *State) {
		if ok = len(s.Sessions) < maxVisits; ok {
			s.Logins++
			s.Sessions = append(s.Sessions, Session{ID: v.id, From: from.String(), Key: v.key.shown(), Since: time.Now()})
		}
	})
	if ok {
		v.d.o.Log("session %s: logged in from %s with %s", v.id, from, v.key.shown())
		v.tell(true)
	}
	return ok
}

// end notes that nothing of the visit runs any more. The loop hears of one that
// was cut: its operator may have no way in any more.
func (v *visit) end(broken bool) {
	v.d.note.update(func(s *State) {
		s.Sessions = slices.DeleteFunc(s.Sessions, func(o Session) bool { return o.ID == v.id })
	})
	if !broken {
		v.d.o.Log("session %s: ended", v.id)
		return
	}
	v.d.o.Log("session %s: the connection broke", v.id)
	v.tell(false)
}

// tell tells the loop that the session is alive, or was lost. A loop that does
// not answer must not keep anybody out.
func (v *visit) tell(alive bool) {
	ctx, cancel := context.WithTimeout(context.Background(), tellTime)
	defer cancel()
	loop := status.Client{Path: filepath.Join(v.d.o.RunDir, status.SocketName)}
	if err := loop.SessionNews(ctx, v.id, alive); err != nil {
		v.d.o.Log("session %s: tell the loop: %v", v.id, err)
	}
}
