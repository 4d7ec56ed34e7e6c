package install

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tench/release/netboot"
)

func TestArrival(t *testing.T) {
	healthy := netboot.Progress{Stage: netboot.Healthy}
	failed := netboot.Progress{Stage: netboot.Failed, Text: "dhcp wan: no server answers"}
	for name, tc := range map[string]struct {
		deaf   int // how often the server is not reached; -1 for always
		after  int // how often the health is not known
		health netboot.Progress
		want   []netboot.Progress
		err    string
	}{
		"well":                     {0, 3, healthy, []netboot.Progress{{Stage: netboot.Ready, Text: "release 2026.11"}, {Stage: netboot.Healthy, Text: "release 2026.11"}}, ""},
		"not well":                 {0, 1, failed, []netboot.Progress{{Stage: netboot.Ready, Text: "release 2026.11"}, failed}, ""},
		"a late network":           {5, 0, healthy, []netboot.Progress{{Stage: netboot.Ready, Text: "release 2026.11"}, {Stage: netboot.Healthy, Text: "release 2026.11"}}, ""},
		"no server":                {-1, 0, healthy, nil, "tell that the box is ready: post progress: no route to host"},
		"its health stays unknown": {0, 1000, healthy, []netboot.Progress{{Stage: netboot.Ready, Text: "release 2026.11"}}, "it was not for 15m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			now, waits := time.Unix(0, 0), 0
			a := Arrival{
				Server: Client{File: netboot.File{Server: s.url, Token: token}},
				About:  "release 2026.11",
				Health: func() (netboot.Progress, bool) { tc.after--; return tc.health, tc.after < 0 },
				Now:    func() time.Time { return now },
				Wait:   func(_ context.Context, d time.Duration) error { waits++; now = now.Add(d); return nil },
				Log:    func(string, ...any) {},
			}
			a.Server.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if tc.deaf != 0 {
					tc.deaf--
					return nil, errors.New("no route to host")
				}
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}
			err := a.Run(t.Context())
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("Run = %v; want %q", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, s.posts); diff != "" {
				t.Errorf("the server heard (-want +got):\n%s", diff)
			}
			if waits > 100 {
				t.Errorf("it waited %d times", waits)
			}
		})
	}
	// A server that has forgotten the token is not asked again.
	s := newServer(t)
	a := Arrival{Server: Client{File: netboot.File{Server: s.url, Token: "another-token"}, Dial: (&net.Dialer{}).DialContext}, Now: time.Now}
	if err := a.Run(t.Context()); !final(err) {
		t.Errorf("Run = %v; want a refusal", err)
	}
}
