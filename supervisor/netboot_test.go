package supervisor

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tench/config"
	"tench/release/netboot"
	"tench/supervisor/health"
	"tench/supervisor/slots"
)

func TestReadNetboot(t *testing.T) {
	const whole = `{"server":"http://192.0.2.1","token":"abcdefgh","box":"gw0","mode":"run"}`
	for name, tc := range map[string]struct {
		files map[string]string
		want  netboot.File
		err   string
	}{
		"booted from a disk":      {nil, netboot.File{}, ""},
		"booted over the network": {map[string]string{NetbootFile: whole}, netboot.File{Server: "http://192.0.2.1", Token: "abcdefgh", Box: "gw0", Mode: netboot.Run}, ""},
		"rubbish":                 {map[string]string{NetbootFile: "{"}, netboot.File{}, "netboot.json: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readNetboot(fakeRoot(t, tc.files))
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || err.Error() != tc.err) {
				t.Errorf("readNetboot = %v; want %q", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("readNetboot (-want +got):\n%s", diff)
			}
		})
	}
}

// What a box makes for itself is a router.toml that it takes.
func TestNetbootConfig(t *testing.T) {
	net := map[string]string{
		"/sys/class/net/lo/type":   "772\n",
		"/sys/class/net/eth0/type": "1\n", "/sys/class/net/eth0/device/vendor": "0x8086\n",
		"/sys/class/net/enx5254/type": "1\n", "/sys/class/net/enx5254/device/bcdDevice": "0\n",
		"/sys/class/net/br0/type":   "1\n",
		"/sys/class/net/wlan0/type": "1\n", "/sys/class/net/wlan0/device/vendor": "0\n", "/sys/class/net/wlan0/phy80211/index": "0\n",
	}
	with := map[string]string{netbootRouter: "hostname = \"gw7\"\n", "/sys/class/net/eth0/type": "1\n"}
	more := maps.Clone(net)
	more[netbootRouter] = "x"
	for name, tc := range map[string]struct {
		mode  netboot.Mode
		files map[string]string
		host  string
		ports []string
	}{
		"install":                 {netboot.Install, net, "gw0", []string{"enx5254", "eth0"}},
		"run with its own":        {netboot.Run, with, "gw7", nil},
		"run without":             {netboot.Run, net, "gw0", []string{"enx5254", "eth0"}},
		"an install has no other": {netboot.Install, more, "gw0", []string{"enx5254", "eth0"}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := netbootConfig(netboot.File{Box: "gw0", Mode: tc.mode}, fakeRoot(t, tc.files))
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Parse("router.toml", text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			var ports []string
			for _, i := range cfg.Interfaces {
				ports = append(ports, i.Device.Name)
				if !i.DHCP4.Enabled {
					t.Errorf("%s asks for no address", i.Name)
				}
			}
			slices.Sort(ports)
			if diff := cmp.Diff(tc.ports, ports); diff != "" || cfg.Hostname != tc.host {
				t.Errorf("hostname %s, ports (-want +got):\n%s", cfg.Hostname, diff)
			}
		})
	}
}

func TestDisklessInTheStatus(t *testing.T) {
	files := map[string]string{buildFile: `{"board":"apu2","release":"2026.11","epoch":1}`, "/proc/cmdline": "quiet\n",
		NetbootFile: `{"server":"http://192.0.2.1","token":"abcdefgh","box":"gw0","mode":"run"}`}
	n := imageNodes(fakeRoot(t, files))[0]
	if !n.OK || n.Facts["diskless"] != "yes" || !slices.Contains(n.Detail, "diskless: gone when switched off") {
		t.Errorf("the node is %+v", n)
	}
	if text, err := json.Marshal(n); err != nil || strings.Contains(string(text), "abcdefgh") {
		t.Errorf("the status shows the token: %s", text)
	}
}

func TestHealthOfAnArrival(t *testing.T) {
	for name, tc := range map[string]struct {
		note  health.Note
		trial *slots.Trial
		want  netboot.Progress
		known bool
	}{
		"not yet":     {health.Note{Outcome: health.Waiting, Reasons: []string{"x"}}, nil, netboot.Progress{}, false},
		"well":        {health.Note{Outcome: health.Good}, nil, netboot.Progress{Stage: netboot.Healthy}, true},
		"passed":      {health.Note{Outcome: health.Good}, &slots.Trial{Slot: "b", Outcome: slots.Confirmed}, netboot.Progress{Stage: netboot.Healthy}, true},
		"on trial":    {health.Note{Outcome: health.Good, Trial: true}, &slots.Trial{Slot: "b", Outcome: slots.GivenUp}, netboot.Progress{Stage: netboot.Healthy}, true},
		"not well":    {health.Note{Outcome: health.Failed, Reasons: []string{"lan: no carrier", "x"}}, nil, netboot.Progress{Stage: netboot.Failed, Text: "not healthy: lan: no carrier; x"}, true},
		"fallen back": {health.Note{Outcome: health.Good}, &slots.Trial{Slot: "b", Release: "2026.12", Outcome: slots.GivenUp, Why: "x"}, netboot.Progress{Stage: netboot.Failed, Text: "slot b (2026.12) was given up: x"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			run, state := t.TempDir(), t.TempDir()
			err := errors.Join(tc.note.Write(run), slots.History{Trial: tc.trial}.Write(state))
			if err != nil {
				t.Fatal(err)
			}
			got, known := ArriveOptions{RunDir: run, Log: t.Logf}.health(state)
			if diff := cmp.Diff(tc.want, got); diff != "" || known != tc.known {
				t.Errorf("health is known: %v, want %v (-want +got):\n%s", known, tc.known, diff)
			}
		})
	}
}

// The word goes once the server has answered, whatever it says; the initramfs'
// own stays.
func TestRunArrive(t *testing.T) {
	for name, tc := range map[string]struct {
		keep   bool
		status int
		posts  string
	}{
		"heard":        {false, http.StatusNoContent, "ready healthy"},
		"forgotten":    {false, http.StatusNotFound, "ready"},
		"of a run":     {true, http.StatusNoContent, "ready healthy"},
		"a run's, too": {true, http.StatusGone, "ready"},
	} {
		t.Run(name, func(t *testing.T) {
			var posts []string
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var p netboot.Progress
				if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
					t.Error(err)
				}
				posts = append(posts, string(p.Stage))
				w.WriteHeader(tc.status)
			}))
			defer h.Close()
			o := ArriveOptions{File: filepath.Join(t.TempDir(), WordName), Keep: tc.keep, RunDir: t.TempDir(), Log: t.Logf}
			if err := (health.Note{Outcome: health.Good}).Write(o.RunDir); err != nil {
				t.Fatal(err)
			}
			word := `{"server":"` + h.URL + `","token":"abcdefgh","box":"gw0","mode":"install"}`
			if err := os.WriteFile(o.File, []byte(word), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := RunArrive(t.Context(), o); (err == nil) != (tc.status == http.StatusNoContent) {
				t.Errorf("RunArrive = %v", err)
			}
			if got := strings.Join(posts, " "); got != tc.posts {
				t.Errorf("the server heard %s, want %s", got, tc.posts)
			}
			if _, err := os.Stat(o.File); (err == nil) != tc.keep {
				t.Errorf("the word: %v, kept should be %v", err, tc.keep)
			}
		})
	}
}

func TestRoles(t *testing.T) {
	for mode, want := range map[netboot.Mode]string{"": "console console", netboot.Run: "console console", netboot.Install: "install console"} {
		p := &pid1{netboot: netboot.File{Mode: mode}}
		if got := p.role(0) + " " + p.role(1); got != want {
			t.Errorf("mode %q: %s; want %s", mode, got, want)
		}
	}
}
