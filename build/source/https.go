package source

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/renameio/v2"
)

// attempts is how often one URL is asked before the next location is tried.
const attempts = 4

// transient is an error that another attempt may mend.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }

// fromURL downloads the file of p into the store and notes its origin. What an
// interrupted download left is taken up: every attempt asks for the rest only.
func (s *Store) fromURL(ctx context.Context, url string, p pin, origin string, o Options) error {
	pause := s.pause
	for n := 1; ; n++ {
		err := s.attempt(ctx, url, p, origin, o)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var again transient
		if !errors.As(err, &again) || n == attempts {
			return err
		}
		o.logf("%s: %v: trying again in %v", p.Name, err, pause)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// attempt makes one request, and adopts the file when it is complete.
func (s *Store) attempt(ctx context.Context, url string, p pin, origin string, o Options) error {
	out, err := os.OpenFile(s.partial(p), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer out.Close()
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	resumed := have
	if have < p.Size {
		transfer := s.transfer
		if strings.HasPrefix(url, "ftp:") {
			transfer = s.ftpTransfer
		}
		if resumed, err = transfer(ctx, url, out, p, o); err != nil {
			return err
		}
	}
	err = s.adopt(ctx, out.Name(), p, origin)
	var wrong *mismatch
	if errors.As(err, &wrong) && resumed > 0 {
		// The beginning came from an earlier run, perhaps of another place:
		// the whole file from here may well be right.
		return transient{fmt.Errorf("resumed file is wrong: %w", err)}
	}
	if err == nil {
		_ = os.Remove(s.partial(p) + ".json")
	}
	return err
}

// transfer appends to out what the server has beyond its end, or writes all of
// it anew. It returns where it started.
func (s *Store) transfer(ctx context.Context, url string, out *os.File, p pin, o Options) (start int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := fmt.Errorf("the server sent nothing for %v", s.idle)
	idle := time.AfterFunc(s.idle, func() { cancel(stalled) })
	defer idle.Stop()

	resp, err := s.request(ctx, url, out, p)
	if err != nil {
		return 0, requestError(ctx, err, stalled)
	}
	defer resp.Body.Close()
	if start, err = s.accept(resp, url, out, p); err != nil {
		return 0, err
	}
	// One byte more than there should be is enough to see that it is wrong.
	body := &countReader{r: io.LimitReader(resp.Body, p.Size-start+1), tell: func(n int64) {
		idle.Reset(s.idle)
		o.bytes(start+n, p.Size)
	}}
	_, err = io.Copy(out, body)
	have := start + body.n
	var write *fs.PathError
	switch {
	case errors.As(err, &write):
		return 0, err
	case err != nil && body.n > 0:
		return 0, requestError(ctx, err, nil)
	case err != nil:
		return 0, requestError(ctx, err, stalled)
	case have > p.Size:
		_ = os.Remove(out.Name())
		return 0, tooMuch(p)
	case have < p.Size:
		return 0, transient{fmt.Errorf("the connection ended after %d of %d bytes", have, p.Size)}
	}
	return start, nil
}

// requestError is a network error, worth another attempt unless it is final or
// a redirection we refuse. It has the cause that ended ctx, if something did,
// instead of the "context canceled" that it became.
func requestError(ctx context.Context, err, final error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	var refused refusal
	if final != nil && errors.Is(err, final) || errors.As(err, &refused) {
		return err
	}
	return transient{err}
}

// validators say which version of a resource the beginning of a partial file
// is of (RFC 9110 section 8.8).
type validators struct {
	URL     string `json:"url"`
	Version string `json:"version"` // a strong ETag or a Last-Modified date
}

func (s *Store) request(ctx context.Context, url string, out *os.File, p pin) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	// With content encodings the byte positions would not be those of the file.
	req.Header.Set("Accept-Encoding", "identity")
	have, err := out.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if v := s.validators(p); v.URL == url && v.Version != "" {
			req.Header.Set("If-Range", v.Version) // RFC 9110 section 13.1.5
		}
	}
	return s.client.Do(req)
}

func (s *Store) validators(p pin) validators {
	var v validators
	data, _ := os.ReadFile(s.partial(p) + ".json") // without it, the hash alone decides
	_ = json.Unmarshal(data, &v)
	return v
}

// accept judges the answer's head and puts out where its body belongs. It
// returns how many bytes of the file are there.
func (s *Store) accept(resp *http.Response, url string, out *os.File, p pin) (have int64, err error) {
	if resp.StatusCode < 300 && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return 0, errors.New("the server answers with a web page instead of the file")
	}
	switch resp.StatusCode {
	case http.StatusOK: // the whole file: ranges are not served, or it changed
		if resp.ContentLength >= 0 && resp.ContentLength != p.Size {
			return 0, wrongSize(resp.ContentLength, p)
		}
		if err := out.Truncate(0); err != nil {
			return 0, err
		}
		if _, err := out.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
	case http.StatusPartialContent:
		if have, err = s.acceptRange(resp, out, p); err != nil {
			return 0, err
		}
	case http.StatusRequestedRangeNotSatisfiable:
		_ = os.Remove(out.Name())
		return 0, transient{errors.New("the server's file is shorter than what was resumed")}
	case http.StatusTooManyRequests, http.StatusRequestTimeout:
		return 0, transient{errors.New(resp.Status)}
	default:
		if resp.StatusCode >= 500 {
			return 0, transient{errors.New(resp.Status)}
		}
		return 0, errors.New(resp.Status)
	}
	version := resp.Header.Get("ETag")
	if version == "" || strings.HasPrefix(version, "W/") {
		version = resp.Header.Get("Last-Modified")
	}
	note, err := json.Marshal(validators{url, version})
	if err != nil {
		return 0, err
	}
	return have, renameio.WriteFile(s.partial(p)+".json", note, 0o644)
}

// acceptRange checks that the body continues where out ends.
func (s *Store) acceptRange(resp *http.Response, out *os.File, p pin) (have int64, err error) {
	if have, err = out.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	var first, last, total int64
	given := resp.Header.Get("Content-Range")
	if _, err := fmt.Sscanf(given, "bytes %d-%d/%d", &first, &last, &total); err != nil || first != have {
		_ = os.Remove(out.Name())
		return 0, transient{fmt.Errorf("asked for bytes from %d, the server answers %q", have, given)}
	}
	if total != p.Size {
		_ = os.Remove(out.Name())
		return 0, wrongSize(total, p)
	}
	return have, nil
}

func tooMuch(p pin) error {
	return fmt.Errorf("the server sends more than the %d bytes of the recipe", p.Size)
}

func wrongSize(size int64, p pin) error {
	return fmt.Errorf("the server's file has %d bytes, not the %d of the recipe", size, p.Size)
}

// refusal is a redirection that is not followed.
type refusal struct{ error }

// keepHTTPS refuses a redirection from https to anything else.
func keepHTTPS(req *http.Request, via []*http.Request) error {
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return refusal{fmt.Errorf("the server redirects to %s, which is not https", req.URL.Redacted())}
	}
	if len(via) >= 10 {
		return refusal{errors.New("the server redirects more than 10 times")}
	}
	return nil
}
