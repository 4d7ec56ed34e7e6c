package door

import (
	"context"
	"fmt"
	"io"
	"regexp"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// session is a channel of a visit. It begins with requests that prepare (a pty),
// then one that starts the program (exec, shell, subsystem), then those that
// concern it (signals, the window's size); RFC 4254, section 6.
type session struct {
	v       *visit
	channel ssh.Channel
	pty     *ptyRequest // what the client asked for; nil for none
	child   *child      // nil until it runs, and for sftp
	ended   chan exit   // nil until something was started
}

// exit is how a program ended.
type exit struct {
	status uint32
	signal ssh.Signal // "" if it exited
}

// Exit statuses of what went wrong here; those of tenchd.
const (
	exitError = 1
	exitUsage = 2
)

// serve answers the requests until the program ended or the client is gone.
func (s *session) serve(ctx context.Context, requests <-chan *ssh.Request) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer s.channel.Close()
	for {
		select {
		case r, more := <-requests:
			if !more {
				stop()
				if s.ended != nil {
					<-s.ended
				}
				return
			}
			ok := s.request(ctx, r)
			if r.WantReply {
				_ = r.Reply(ok, nil)
			}
		case e := <-s.ended:
			s.tell(e)
			return
		}
	}
}

// tell tells the client how the program ended.
func (s *session) tell(e exit) {
	_ = s.channel.CloseWrite() // a client that is gone needs to be told nothing
	if e.signal == "" {
		_, _ = s.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{e.status}))
		return
	}
	_, _ = s.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
		Signal         string
		Dumped         bool
		Text, Language string
	}{Signal: string(e.signal)}))
}

// request does what a request asks, and reports whether it did.
func (s *session) request(ctx context.Context, r *ssh.Request) bool {
	var text struct{ Value string }
	switch r.Type {
	case "pty-req":
		return s.preparePTY(r.Payload)
	case "shell":
		return s.start(ctx, "")
	case "exec":
		return ssh.Unmarshal(r.Payload, &text) == nil && s.start(ctx, text.Value)
	case "subsystem":
		return ssh.Unmarshal(r.Payload, &text) == nil && text.Value == sftpWord && s.startArgs(ctx, []string{sftpWord})
	case "window-change":
		var size winSize
		if s.child == nil || ssh.Unmarshal(r.Payload, &size) != nil {
			return false
		}
		return s.child.resize(size) == nil
	case "signal":
		if s.child == nil || ssh.Unmarshal(r.Payload, &text) != nil {
			return false
		}
		return s.child.signal(ssh.Signal(text.Value))
	}
	return false // env, forwarding of agents and X11, and what others invent
}

// ptyRequest is a client's wish for a terminal. Its modes are not read: the
// kernel's are right for menu and shell.
type ptyRequest struct {
	Term string
	Size winSize
}

// winSize is the size of a terminal.
type winSize struct{ Columns, Rows, Width, Height uint32 }

var termRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,31}$`)

func (s *session) preparePTY(payload []byte) bool {
	var flat struct {
		Term                         string
		Columns, Rows, Width, Height uint32
		Modes                        string
	}
	if s.ended != nil || s.v.key.NoPTY || ssh.Unmarshal(payload, &flat) != nil {
		return false
	}
	s.pty = &ptyRequest{Term: flat.Term, Size: winSize{flat.Columns, flat.Rows, flat.Width, flat.Height}}
	if !termRE.MatchString(flat.Term) {
		s.pty.Term = "dumb"
	}
	return true
}

// start starts what a command line asks for. A wrong one is answered like by a
// program: with words, and a status.
func (s *session) start(ctx context.Context, line string) bool {
	if s.v.key.command != nil {
		return s.startArgs(ctx, nil)
	}
	args, err := parseCommand(line)
	if err != nil {
		return s.fail(err, exitUsage)
	}
	return s.startArgs(ctx, args)
}

// startArgs starts a program, or the one that the key allows.
func (s *session) startArgs(ctx context.Context, args []string) bool {
	if s.ended != nil {
		return false // one program for each channel
	}
	if s.v.key.command != nil {
		args = s.v.key.command
	}
	s.v.d.o.Log("session %s: %s", s.v.id, plain(fmt.Sprintf("%q", forLog(args))))
	if args[0] == sftpWord {
		s.ended = make(chan exit, 1)
		go func() { s.ended <- s.serveFiles(ctx) }()
		return true
	}
	child, err := s.v.startChild(ctx, args, s.pty, s.channel)
	if err != nil {
		return s.fail(err, exitError)
	}
	s.child, s.ended = child, make(chan exit, 1)
	go func() { s.ended <- child.wait() }()
	return true
}

// fail ends the session with an error for the person at the other end.
func (s *session) fail(err error, code uint32) bool {
	if s.ended != nil {
		return false
	}
	s.ended = make(chan exit, 1)
	fmt.Fprintf(s.channel.Stderr(), "tench: %v\n", err)
	s.ended <- exit{status: code}
	return true
}

// serveFiles is the SFTP server.
func (s *session) serveFiles(ctx context.Context) exit {
	f := newFiles(s.v.d.o)
	server := sftp.NewRequestServer(s.channel, sftp.Handlers{FileGet: f, FilePut: f, FileCmd: f, FileList: f})
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(); err != nil && err != io.EOF {
		s.v.d.o.Log("session %s: sftp: %s", s.v.id, plain(err.Error()))
		return exit{status: exitError}
	}
	return exit{}
}
