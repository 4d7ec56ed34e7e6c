package install

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"tench/release/netboot"
)

// Client asks the server that booted this box. It speaks just enough HTTP: one
// request a connection, as HTTP/1.0 (RFC 1945), whose answer ends with the
// connection, so that no chunks need to be read. Go's own HTTP comes with TLS and
// would make tenchd half as large again; a fetcher such as wget would show the
// token in the list of processes.
type Client struct {
	File netboot.File
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// What is taken from a server.
const (
	maxHead   = 8 << 10  // bytes of a status line and its headers
	maxAnswer = 64 << 10 // bytes of an answer other than the stream
	maxRefuse = 1 << 10  // bytes of the words of a refusal

	dialLimit   = 10 * time.Second
	answerLimit = 30 * time.Second // for a whole answer
	beginLimit  = 2 * time.Minute  // for the first byte of the stream: the server may unpack and check an image for it
	silentLimit = 60 * time.Second // between two reads of the stream
)

// RFC 9110, 15.3.7 and 15.5.10.
const (
	statusPartial  = 206
	statusConflict = 409
)

// Refusal is the server's no.
type Refusal struct {
	Status int    // of HTTP
	Text   string // in words, for the console
}

func (r *Refusal) Error() string {
	text := r.Text
	if text == "" {
		text = "it does not say why"
	}
	return fmt.Sprintf("the server refuses (%d): %s", r.Status, text)
}

// final reports whether asking again makes no sense: the server understood.
func final(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Status >= 400 && r.Status < 500
}

// conflict reports whether the server's no is about the disks as they are now.
func conflict(err error) bool {
	var r *Refusal
	return errors.As(err, &r) && r.Status == statusConflict
}

// Post sends body as JSON and reads the answer into answer; nil for none.
func (c Client) Post(ctx context.Context, what string, body, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("post %s: %w", what, err)
	}
	r, err := c.ask(ctx, call{method: "POST", what: what, body: data})
	if err != nil {
		return fmt.Errorf("post %s: %w", what, err)
	}
	defer r.Close()
	text, err := limited(r, maxAnswer)
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil {
		return fmt.Errorf("post %s: read the answer: %w", what, err)
	}
	return nil
}

// Answer is what the caller reads and closes. That it is whole the caller finds
// out.
type Answer struct {
	io.ReadCloser
	Tag string // of what it is of, as the server calls it; "" for nothing
	At  int64  // byte of that at which it begins
}

// Get fetches something, or what comes at a byte of what has a tag. An answer that
// begins at 0 is of something else by now.
func (c Client) Get(ctx context.Context, what string, at int64, tag string) (Answer, error) {
	var more []string
	if at > 0 {
		more = []string{fmt.Sprintf("Range: bytes=%d-", at), "If-Range: " + tag} // RFC 9110, 13.1.5 and 14.2
	}
	r, err := c.ask(ctx, call{method: "GET", what: what, headers: more})
	if err != nil {
		return Answer{}, fmt.Errorf("get %s: %w", strings.SplitN(what, "?", 2)[0], err)
	}
	a := Answer{r, r.head.tag, r.head.at}
	if a.At != 0 && a.At != at {
		r.Close()
		return Answer{}, fmt.Errorf("get %s: the answer begins at byte %d, not %d", strings.SplitN(what, "?", 2)[0], a.At, at)
	}
	return a, nil
}

// limited reads all of r, which must not have more than max bytes.
func limited(r io.Reader, max int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(text)) > max {
		err = fmt.Errorf("it has more than %d bytes", max)
	}
	return text, err
}

// call is a request.
type call struct {
	method, what string
	headers      []string // beside those that all have
	body         []byte   // JSON; nil for none
}

// ask makes a request and reads the head of its answer.
func (c Client) ask(ctx context.Context, req call) (*response, error) {
	server, err := c.File.Address()
	if err != nil {
		return nil, err
	}
	dialing, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	conn, err := c.Dial(dialing, "tcp", server.String())
	if err != nil {
		return nil, err
	}
	r := &response{ctx: ctx, conn: conn, stop: context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })}
	if err := r.begin(req.text(c.File.Path(req.what), server.String())); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (c call) text(path, host string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.0\r\nHost: %s\r\n", c.method, path, host)
	for _, line := range c.headers {
		b.WriteString(line + "\r\n")
	}
	if c.body != nil {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(c.body))
	}
	b.WriteString("Connection: close\r\n\r\n")
	b.Write(c.body)
	return b.Bytes()
}

// response is an answer whose head was read.
type response struct {
	ctx  context.Context // of the request
	conn net.Conn
	stop func() bool // of what ends the connection with the context
	head head
	body io.Reader
}

// begin sends the request and reads the head of the answer.
func (r *response) begin(request []byte) error {
	r.conn.SetDeadline(time.Now().Add(beginLimit))
	if err := r.ctx.Err(); err != nil { // whose deadline was just put off
		return err
	}
	if _, err := r.conn.Write(request); err != nil {
		return err
	}
	in := bufio.NewReaderSize(r.conn, 32<<10)
	h, err := readHead(in)
	if err != nil {
		return err
	}
	r.head, r.body = h, in
	if h.length >= 0 {
		r.body = io.LimitReader(in, h.length)
	}
	if h.status/100 == 2 {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r.body, maxRefuse))
	if err != nil {
		text = nil // it is refused all the same
	}
	return &Refusal{h.status, plain(string(text))}
}

// Read implements io.Reader: an answer may take as long as it likes, but not be
// silent.
func (r *response) Read(p []byte) (int, error) {
	r.conn.SetReadDeadline(time.Now().Add(silentLimit))
	if err := r.ctx.Err(); err != nil { // whose deadline was just put off
		return 0, err
	}
	return r.body.Read(p)
}

// Close implements io.Closer.
func (r *response) Close() error {
	r.stop()
	return r.conn.Close()
}

// head is what counts of the head of an answer.
type head struct {
	status int
	length int64 // of the body; -1 where it ends with the connection
	tag    string
	at     int64 // byte at which the body begins
}

// readHead reads a status line and headers (RFC 9112, sections 4 and 5).
func readHead(in *bufio.Reader) (head, error) {
	left := maxHead
	line := func() (string, error) {
		text, err := in.ReadSlice('\n')
		if left -= len(text); errors.Is(err, bufio.ErrBufferFull) || left < 0 {
			return "", fmt.Errorf("the answer begins with more than %d bytes of headers", maxHead)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return strings.TrimRight(string(text), "\r\n"), err
	}
	h := head{length: -1}
	text, err := line()
	if err != nil {
		return h, err
	}
	version, rest, _ := strings.Cut(text, " ")
	code, _, _ := strings.Cut(rest, " ")
	if h.status, err = strconv.Atoi(code); err != nil || !strings.HasPrefix(version, "HTTP/1.") || h.status < 200 || h.status > 599 {
		return h, fmt.Errorf("the answer begins with %.60q, which is not HTTP", text)
	}
	for {
		if text, err = line(); err != nil {
			return h, err
		}
		if text == "" {
			return h, nil
		}
		key, value, _ := strings.Cut(text, ":")
		switch value = strings.TrimSpace(value); strings.ToLower(key) {
		case "content-length":
			if h.length, err = strconv.ParseInt(value, 10, 62); err != nil || h.length < 0 {
				return h, fmt.Errorf("the answer has a length of %.60q", value)
			}
		case "etag":
			h.tag = value
		case "content-range":
			if h.status != statusPartial {
				break
			}
			if h.at, err = rangeStart(value); err != nil {
				return h, fmt.Errorf("the answer has a range of %.60q", value)
			}
		case "transfer-encoding":
			return h, fmt.Errorf("the answer comes as %.60q, which HTTP/1.0 does not know", value)
		}
	}
}

// rangeStart is N of "bytes N-M/SIZE" (RFC 9110, 14.4).
func rangeStart(text string) (int64, error) {
	number, _, _ := strings.Cut(strings.TrimPrefix(text, "bytes "), "-")
	n, err := strconv.ParseUint(number, 10, 62)
	return int64(n), err
}

// plain is text of others in one line that moves no cursor.
func plain(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
