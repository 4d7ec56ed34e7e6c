package clock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/beevik/ntp"
)

// timeout bounds one question, including the look-up of the server's name.
const timeout = 5 * time.Second

// answer is what became of one question.
type answer struct {
	server string
	offset time.Duration // add to our clock
	err    error
}

// ask asks one server once.
func ask(ctx context.Context, server string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := ntp.QueryWithOptions(server, ntp.QueryOptions{
		Timeout: timeout,
		Dialer: func(_, address string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "udp", address)
		},
	})
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return 0, err
	}
	return r.ClockOffset, nil
}

// askAll asks all servers at once and waits for the slowest.
func askAll(ctx context.Context, servers []string, ask func(context.Context, string) (time.Duration, error)) []answer {
	answers := make(chan answer, len(servers))
	for _, s := range servers {
		go func() {
			offset, err := ask(ctx, s)
			answers <- answer{s, offset, err}
		}()
	}
	var all []answer
	for range servers {
		all = append(all, <-answers)
	}
	return all
}

// middle picks the answer whose time is in the middle. The error names each
// server's.
func middle(all []answer) (answer, error) {
	var good []answer
	var causes []string
	for _, a := range all {
		if a.err != nil {
			causes = append(causes, fmt.Sprintf("%s: %v", a.server, a.err))
		} else {
			good = append(good, a)
		}
	}
	if len(good) == 0 {
		slices.Sort(causes)
		return answer{}, errors.New(strings.Join(causes, "; "))
	}
	slices.SortFunc(good, func(a, b answer) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.server, b.server))
	})
	return good[(len(good)-1)/2], nil
}
