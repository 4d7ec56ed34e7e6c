package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"path"
	"time"

	"github.com/jlaffaye/ftp"
)

// ftpTransfer appends to out what the server has beyond its end (REST, RFC 3659
// section 5), or all of the file. It returns where it started.
func (s *Store) ftpTransfer(ctx context.Context, address string, out *os.File, p pin, o Options) (start int64, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	if start, err = out.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	c, done, err := s.ftpLogin(ctx, u, p.Size+ftpTalk)
	if err != nil {
		return 0, ftpError(ctx, err)
	}
	defer done()
	// A server that does not know SIZE is judged by what it sends.
	if size, err := c.FileSize(u.Path); err == nil && size != p.Size {
		return 0, wrongSize(size, p)
	}
	body, err := c.RetrFrom(u.Path, uint64(start))
	if start > 0 && notUnderstood(err) { // REST: the next attempt begins anew
		_ = os.Remove(out.Name())
		return 0, transient{fmt.Errorf("the server resumes nothing: %w", err)}
	}
	if err != nil {
		return 0, ftpError(ctx, err)
	}
	defer body.Close()
	counted := &countReader{r: io.LimitReader(body, p.Size-start+1), tell: func(n int64) { o.bytes(start+n, p.Size) }}
	_, err = io.Copy(out, counted)
	have := start + counted.n
	var write *fs.PathError
	switch {
	case errors.As(err, &write):
		return 0, err
	case err != nil:
		return 0, ftpError(ctx, err)
	case have > p.Size:
		_ = os.Remove(out.Name())
		return 0, tooMuch(p)
	case have < p.Size:
		return 0, transient{fmt.Errorf("the connection ended after %d of %d bytes", have, p.Size)}
	}
	return start, nil
}

// ftpList returns the names in a folder.
func (s *Store) ftpList(ctx context.Context, dir *url.URL) ([]string, error) {
	c, done, err := s.ftpLogin(ctx, dir, maxListing)
	if err != nil {
		return nil, err
	}
	defer done()
	entries, err := c.List(dir.Path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, path.Base(e.Name))
	}
	return names, nil
}

// ftpTalk is more than a server says beside the data, in bytes.
const ftpTalk = 1 << 20

// ftpLogin opens a session as an anonymous user (RFC 1635) whose connections
// read at most limit bytes each; done ends it.
func (s *Store) ftpLogin(ctx context.Context, u *url.URL, limit int64) (c *ftp.ServerConn, done func(), err error) {
	server, port := u.Hostname(), u.Port()
	if port == "" {
		port = "21"
	}
	dial := func(network, address string) (net.Conn, error) {
		// A server may name any address for the data: only its own is called.
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{Timeout: s.idle}
		conn, err := d.DialContext(ctx, network, net.JoinHostPort(server, port))
		if err != nil {
			return nil, err
		}
		if server, _, err = net.SplitHostPort(conn.RemoteAddr().String()); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		return &ftpConn{Conn: conn, idle: s.idle, left: limit, stop: stop}, nil
	}
	c, err = ftp.Dial(net.JoinHostPort(server, port), ftp.DialWithDialFunc(dial))
	if err != nil {
		return nil, nil, err
	}
	if err := c.Login("anonymous", "tench@"); err != nil {
		_ = c.Quit()
		return nil, nil, err
	}
	return c, func() { _ = c.Quit() }, nil
}

// ftpError is an error of a session, worth another attempt unless the server
// said a permanent no (RFC 959 section 4.2: 5xx).
func ftpError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var reply *textproto.Error
	if errors.As(err, &reply) && reply.Code >= 500 {
		return err
	}
	return transient{err}
}

// notUnderstood reports whether the server does not know a command (RFC 959
// section 4.2: 500 to 504).
func notUnderstood(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && reply.Code >= 500 && reply.Code <= 504
}

// ftpConn is a connection that breaks when nothing comes or goes for so long,
// or too much comes.
type ftpConn struct {
	net.Conn
	idle time.Duration
	left int64       // bytes that may still be read
	stop func() bool // no longer close it when the context ends
}

func (c *ftpConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the server sends too much")
	}
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	return n, c.inWords(err)
}

func (c *ftpConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	return n, c.inWords(err)
}

func (c *ftpConn) inWords(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("the server sent nothing for %v", c.idle)
	}
	return err
}

func (c *ftpConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
