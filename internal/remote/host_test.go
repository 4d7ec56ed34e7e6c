package remote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseHost(t *testing.T) {
	for in, want := range map[string]Host{
		"gw0":                   {Name: "gw0"},
		"admin@gw0":             {User: "admin", Name: "gw0"},
		"root@gw0.lan:2222":     {User: "root", Name: "gw0.lan", Port: "2222"},
		"192.168.1.1:22":        {Name: "192.168.1.1", Port: "22"},
		"2001:db8::1":           {Name: "2001:db8::1"},
		"root@fe80::1%eth0":     {User: "root", Name: "fe80::1%eth0"},
		"[2001:db8::1]":         {Name: "2001:db8::1"},
		"root@[2001:db8::1]:22": {User: "root", Name: "2001:db8::1", Port: "22"},
	} {
		got, err := ParseHost(in)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParseHost(%q) (-want +got)\n%s", in, diff)
		}
	}
}

func TestParseHostErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":          "is no host's name",
		"@gw0":      "no user before the @",
		"-oProxy=x": "is no host's name",
		"-l@gw0":    "is no user's name",
		"a@b@gw0":   "is no host's name",
		"gw0:":      "port",
		"gw0:0":     "port",
		"gw0:65536": "port",
		"gw0:+22":   "port",
		"gw0:22:22": "port",
		"[gw0]:22":  "is no address",
		"[::1":      "no ]",
		"[::1]22":   "no :",
		"ssh://gw0": "port",
		"gw0\n":     "is no host's name",
	} {
		h, err := ParseHost(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("ParseHost(%q) = %+v, %v; want …%s… and a hint", in, h, err, want)
		}
	}
}

// What is shown must lead to the same place.
func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"gw0", "root@gw0:22", "[::1]:22", "::1", "a@[fe80::1%eth0]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		h, err := ParseHost(in)
		if err != nil {
			return
		}
		again, err := ParseHost(h.String())
		if err != nil {
			t.Fatalf("ParseHost(%q) = %+v, but its text %q: %v", in, h, h.String(), err)
		}
		if diff := cmp.Diff(h, again); diff != "" {
			t.Errorf("ParseHost(%q), shown as %q (-want +got)\n%s", in, h.String(), diff)
		}
	})
}

func TestResolve(t *testing.T) {
	home := t.TempDir()
	must(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	config := `
Host box
  HostName %h.example.net
  Port 2222
  User pxe
  IdentityFile ~/.ssh/box
  IdentityFile %d/keys/%r@%h
  IdentityFile ~/.ssh/%u_key
  UserKnownHostsFile ~/known
Host gate
  ProxyCommand nc %h %p
Host *
  User anybody
`
	must(t, os.WriteFile(filepath.Join(home, ".ssh/config"), []byte(config), 0o600))
	a := Options{User: "me", Local: "anna", Home: home}
	for name, tc := range map[string]struct {
		given Host
		want  target
	}{
		"all from the file": {Host{Name: "box"}, target{
			user: "pxe", name: "box.example.net", port: "2222",
			identities: []string{home + "/.ssh/box", home + "/keys/pxe@box.example.net", home + "/.ssh/anna_key"},
			known:      []string{home + "/known", "/etc/ssh/ssh_known_hosts"},
		}},
		"what is given goes first": {Host{Name: "other", User: "root", Port: "2022"}, target{
			user: "root", name: "other", port: "2022",
			known: []string{home + "/.ssh/known_hosts", home + "/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts"},
		}},
		"a zone that looks like %h": {Host{Name: "fe80::1%hn0"}, target{
			user: "anybody", name: "fe80::1%hn0", port: "22",
			known: []string{home + "/.ssh/known_hosts", home + "/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts"},
		}},
	} {
		got, err := resolve(tc.given, a)
		must(t, err)
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(target{})); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	if _, err := resolve(Host{Name: "gate"}, a); err == nil || !strings.Contains(err.Error(), "ProxyCommand") {
		t.Errorf("resolve of a host behind a ProxyCommand = %v", err)
	}
}

// What of ssh_config(5) would be misread is refused.
func TestMatchOfMoreThanAHost(t *testing.T) {
	for config, good := range map[string]bool{
		"Match host box\n  Port 2222\n": true, "Match all\n  Port 2222\n": true,
		"Match host box user git\n  Port 2222\n": false, "Match host box,gw1\n  Port 2222\n": false,
	} {
		home := t.TempDir()
		must(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
		must(t, os.WriteFile(filepath.Join(home, ".ssh/config"), []byte(config), 0o600))
		got, err := resolve(Host{Name: "box"}, Options{Home: home})
		switch {
		case good && (err != nil || got.port != "2222"):
			t.Errorf("%q: resolve = %+v, %v; want port 2222", config, got, err)
		case !good && (err == nil || !strings.Contains(err.Error(), "is not understood\nhint: tench reads")):
			t.Errorf("%q: resolve = %+v, %v; want an error", config, got, err)
		}
	}
}
