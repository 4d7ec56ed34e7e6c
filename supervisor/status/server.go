package status

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Bounds on what clients can cost the loop.
const (
	maxClients   = 16               // connections served at once; more wait in the backlog
	idleTimeout  = 10 * time.Second // to send a request, and to take its response
	replyTimeout = 30 * time.Second // for the Handler
	acceptPause  = time.Second      // after a client that could not be taken
)

// Listen makes the control socket at path with mode 0600. A socket that an
// earlier process left there is replaced.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control: make directory: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control: remove old socket: %w", err)
	}
	// The mode is set by the umask and not by a chmod afterwards, so that there
	// is no moment in which others could connect. The umask belongs to the whole
	// process; the loop makes no other file while it starts to listen.
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control: listen: %w", err)
	}
	return l, nil
}

// Serve answers the clients of l with h until ctx ends; then it closes l and
// waits for the answers under way.
func Serve(ctx context.Context, l net.Listener, h Handler) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var clients sync.WaitGroup
	defer clients.Wait()
	slots := make(chan struct{}, maxClients)
	for {
		slots <- struct{}{}
		conn, err := l.Accept()
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("control: accept: %w", err)
		case err != nil: // no descriptor or memory left: that passes
			<-slots
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		clients.Go(func() {
			serveConn(ctx, conn, h)
			<-slots
		})
	}
}

// serveConn answers one client line by line until it hangs up, is silent for
// too long or sends what is no request.
func serveConn(ctx context.Context, conn net.Conn, h Handler) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	lines := newLineReader(conn)
	for ctx.Err() == nil {
		conn.SetReadDeadline(time.Now().Add(idleTimeout))
		line, err := lines.next()
		if err != nil {
			if errors.Is(err, errTooLong) {
				send(conn, Response{Error: err.Error()})
			}
			return
		}
		req, err := decodeRequest(line)
		if err != nil {
			send(conn, Response{Error: err.Error()})
			return
		}
		reply, cancel := context.WithTimeout(ctx, replyTimeout)
		resp := answer(reply, h, req)
		cancel()
		if send(conn, resp) != nil {
			return
		}
	}
}

var errTooLong = fmt.Errorf("control: a message is longer than %d bytes", MaxRequest)

// lineReader reads lines of at most MaxRequest bytes.
type lineReader struct {
	limit *io.LimitedReader
	buf   *bufio.Reader
}

func newLineReader(r io.Reader) lineReader {
	limit := &io.LimitedReader{R: r}
	return lineReader{limit: limit, buf: bufio.NewReader(limit)}
}

func (r lineReader) next() ([]byte, error) {
	r.limit.N = MaxRequest + 1
	line, err := r.buf.ReadBytes('\n')
	if len(line) > MaxRequest {
		return nil, errTooLong
	}
	return line, err
}

func send(conn net.Conn, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("control: encode: %w", err)
	}
	if len(data) >= MaxRequest {
		return errTooLong
	}
	conn.SetWriteDeadline(time.Now().Add(idleTimeout))
	if _, err := conn.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("control: send: %w", err)
	}
	return nil
}
