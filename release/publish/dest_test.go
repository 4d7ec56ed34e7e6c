package publish

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseDest(t *testing.T) {
	for in, want := range map[string]Dest{
		"/srv/tftp":                      {Path: "/srv/tftp"},
		"tree/":                          {Path: "tree"},
		"./a:b":                          {Path: "a:b"},
		"/srv/a:b":                       {Path: "/srv/a:b"},
		"host:/srv/tftp":                 {Host: "host", Path: "/srv/tftp"},
		"pxe@host:tree":                  {User: "pxe", Host: "host", Path: "tree"},
		"pxe@host:~/tree":                {User: "pxe", Host: "host", Path: "tree"},
		"pxe@[2001:db8::1]:/srv":         {User: "pxe", Host: "2001:db8::1", Path: "/srv"},
		"[2001:db8::1]:/srv":             {Host: "2001:db8::1", Path: "/srv"},
		"ssh://host/srv":                 {Host: "host", Path: "/srv"},
		"sftp://host/srv":                {Host: "host", Path: "/srv"},
		"ssh://pxe@host:2222/srv/tftp":   {User: "pxe", Host: "host", Port: "2222", Path: "/srv/tftp"},
		"ssh://host/~/tree":              {Host: "host", Path: "tree"},
		"ssh://pxe@[2001:db8::1]:22/~/t": {User: "pxe", Host: "2001:db8::1", Port: "22", Path: "t"},
	} {
		got, err := ParseDest(in)
		if err != nil {
			t.Errorf("ParseDest(%q) = %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParseDest(%q) (-want +got)\n%s", in, diff)
		}
	}
}

func TestParseDestErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "no path",
		"host:":                   "no path",
		"ssh://host":              "no path",
		"ssh://host/":             "no path",
		":/srv":                   "no host",
		"@host:/srv":              "no user",
		"ssh:///srv":              "no host",
		"ssh://u:secret@host/s":   "a password has no place",
		"ssh://u:secret@host:x/s": "invalid port",
		"ssh://host:0/srv":        "port",
		"ssh://host:99999/srv":    "port",
		"ssh://host/srv?x=1":      "a query",
		"https://host/srv":        "only ssh:// is known",
		"-oProxyCommand=x:/srv":   "is no host's name",
		"host:/srv\nx":            "control character",
		"a@b@host:/srv":           "is no host's name",
		"-l@host:/srv":            "is no user's name",
		"host:~":                  "no path",
		"[host:/srv":              "is no host's name",
	} {
		d, err := ParseDest(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("ParseDest(%q) = %+v, %v; want …%s… and a hint", in, d, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseDest(%q) repeats the password", in)
		}
	}
}

// What is shown and given back must lead to the same place.
func FuzzParseDest(f *testing.F) {
	for _, s := range []string{"/srv", "pxe@host:~/t", "ssh://u@[::1]:22/~/x", "[::1]:a", "a:b", "ssh://h/%41", "./a:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		d, err := ParseDest(in)
		if err != nil || d.Host == "" { // a path is shown as it is
			return
		}
		again, err := ParseDest(d.String())
		if err != nil {
			t.Fatalf("ParseDest(%q) = %+v, but its text %q: %v", in, d, d.String(), err)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Errorf("ParseDest(%q), shown as %q (-want +got)\n%s", in, d.String(), diff)
		}
	})
}
