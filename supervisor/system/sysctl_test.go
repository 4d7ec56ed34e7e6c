package system

import (
	"strings"
	"testing"
)

func TestSysctlPath(t *testing.T) {
	for _, tc := range []struct{ name, key, want string }{
		{"dots", "net.ipv4.ip_forward", "net/ipv4/ip_forward"},
		{"slashes", "net/ipv4/ip_forward", "net/ipv4/ip_forward"},
		{"slashes, device with a dot", "net/ipv6/conf/eth0.10/accept_ra", "net/ipv6/conf/eth0.10/accept_ra"},
		{"dots, device with a dot", "net.ipv6.conf.eth0/10.accept_ra", "net/ipv6/conf/eth0.10/accept_ra"},
		{"up and out", "net/../../etc/passwd", ""},
		{"up and out, dotted", "net.//.//.etc", ""},
		{"absolute", "/etc/passwd", ""},
		{"one word", "hostname", ""},
		{"empty part", "net..ipv4", ""},
		{"trailing dot", "net.ipv4.", ""},
		{"newline", "net.ipv4\n.x", ""},
		{"empty", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := SysctlPath(tc.key)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("SysctlPath(%q) = %q, %v, want %q", tc.key, got, err, tc.want)
			}
		})
	}
}

func FuzzSysctlPath(f *testing.F) {
	f.Add("net.ipv4.ip_forward")
	f.Add("net/ipv6/conf/eth0.10/accept_ra")
	f.Add("../x")
	f.Fuzz(func(t *testing.T, key string) {
		path, err := SysctlPath(key)
		if err != nil {
			return
		}
		if strings.HasPrefix(path, "/") || strings.Contains("/"+path+"/", "/../") {
			t.Errorf("SysctlPath(%q) = %q, which leaves /proc/sys", key, path)
		}
	})
}
