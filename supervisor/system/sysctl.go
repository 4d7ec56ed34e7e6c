package system

import (
	"fmt"
	"strings"
)

// SysctlPath gives the file below /proc/sys of a kernel setting. As in
// sysctl(8), the first separator in the key tells how it is written:
// "net.ipv4.ip_forward" uses dots, and "net/ipv4/conf/eth0.10/rp_filter" or
// "net.ipv4.conf.eth0/10.rp_filter" name a device that has a dot in its name.
func SysctlPath(key string) (string, error) {
	path := key
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '.' {
		path = swapDots.Replace(key)
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return "", fmt.Errorf("sysctl %q: not the name of a kernel setting\nhint: write it like net.ipv4.ip_forward, with / for a dot inside a name", key)
		}
	}
	if strings.ContainsAny(path, "\x00\n") || !strings.Contains(path, "/") {
		return "", fmt.Errorf("sysctl %q: not the name of a kernel setting\nhint: write it like net.ipv4.ip_forward", key)
	}
	return path, nil
}

// swapDots turns a dotted key into a path and back.
var swapDots = strings.NewReplacer(".", "/", "/", ".")

// LinkSysctl is the key of a setting of one link, e.g.
// LinkSysctl("ipv6", "eth0.10", "accept_ra") is "net/ipv6/conf/eth0.10/accept_ra".
func LinkSysctl(family, link, name string) string {
	return "net/" + family + "/conf/" + link + "/" + name
}
