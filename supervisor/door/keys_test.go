package door

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

// newKey makes a key pair; line is its public half as in authorized_keys.
func newKey(t testing.TB) (signer ssh.Signer, line string) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err = ssh.NewSignerFromKey(private)
	must(t, err)
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeyOptions(t *testing.T) {
	_, public := newKey(t)
	home, abroad := netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("2001:db8::7")
	for name, tc := range map[string]struct {
		options string
		command []string
		noPTY   bool
		home    bool // may log in from home
		abroad  bool
	}{
		"none":                     {"", nil, false, true, true},
		"a network":                {`from="192.168.1.0/24" `, nil, false, true, false},
		"an address":               {`from="2001:DB8::7" `, nil, false, false, true},
		"wildcards":                {`from="192.168.*.?" `, nil, false, true, false},
		"all but one":              {`from="*,!192.168.1.7" `, nil, false, false, true},
		"only a denial":            {`from="!10.0.0.1" `, nil, false, false, false},
		"a command":                {`command="status -json" `, []string{"status", "-json"}, false, true, true},
		"a command with quotes":    {`command="why \"dhcp wan\"" `, []string{"why", "dhcp wan"}, false, true, true},
		"sftp only":                {`restrict,command="internal-sftp" `, []string{"sftp"}, true, true, true},
		"restrict":                 {`restrict `, nil, true, true, true},
		"restrict but a pty":       {`restrict,pty `, nil, false, true, true},
		"what there is not anyhow": {`no-port-forwarding,no-agent-forwarding,no-X11-forwarding,no-user-rc,no-pty `, nil, true, true, true},
		"in capitals":              {`No-PTY,From="192.168.1.7" `, nil, true, true, false},
	} {
		keys, problems := parseKeys([]byte("# comment\n\n" + tc.options + public + " anna@desk\n"))
		if len(keys) != 1 || len(problems) > 0 {
			t.Errorf("%s: %d keys, %v", name, len(keys), problems)
			continue
		}
		k := keys[0]
		if diff := cmp.Diff(tc.command, k.command); diff != "" || k.NoPTY != tc.noPTY || k.Comment != "anna@desk" {
			t.Errorf("%s: noPTY %v, comment %q, command (-want +got)\n%s", name, k.NoPTY, k.Comment, diff)
		}
		if got := k.From.Allows(home); got != tc.home {
			t.Errorf("%s: from home: %v", name, got)
		}
		if got := k.From.Allows(abroad); got != tc.abroad {
			t.Errorf("%s: from abroad: %v", name, got)
		}
	}
}

func TestRefusedKeys(t *testing.T) {
	_, public := newKey(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	weakKey, err := ssh.NewPublicKey(&weak.PublicKey)
	must(t, err)
	for name, tc := range map[string]struct{ line, want string }{
		"no key":                  {"hello", "is no line such as"},
		"a private key":           {"-----BEGIN OPENSSH PRIVATE KEY-----", "is no line such as"},
		"an unknown option":       {"environment=\"A=b\" " + public, `option "environment=\"A=b\"" is not honoured`},
		"one that grants":         {"restrict,port-forwarding " + public, "option \"port-forwarding\" is not honoured"},
		"an end":                  {"expiry-time=\"20300101\" " + public, "is not honoured"},
		"an authority":            {"cert-authority " + public, "option \"cert-authority\" is not honoured"},
		"a name":                  {"from=\"*.example.net\" " + public, "names of hosts are not looked up"},
		"no value":                {"from " + public, "option \"from\" is not honoured"},
		"an empty value":          {"from=\"\" " + public, "is neither an address"},
		"a value without quotes":  {"from=10.0.0.1 " + public, "not in double quotes"},
		"a sloppy network":        {"from=\"10.0.0.1/8\" " + public, "10.0.0.0/8 is one"},
		"a command of no box":     {"command=\"/bin/sh\" " + public, "is not a command of this box"},
		"a command with a pipe":   {"command=\"status | cat\" " + public, "means something to a shell only"},
		"the option twice":        {"command=\"status\",command=\"why a\" " + public, "is not honoured"},
		"a weak key":              {string(ssh.MarshalAuthorizedKey(weakKey)), "at least 2048 bits"},
		"an option out of place":  {"ssh-ed25519 " + strings.Fields(public)[1][:20], "is no line such as"},
		"a restriction as a type": {"restrict " + strings.Fields(public)[1], "is no line such as"},
	} {
		keys, problems := parseKeys([]byte(tc.line))
		if len(keys) > 0 || len(problems) != 1 || !strings.Contains(problems[0], tc.want) {
			t.Errorf("%s: %d keys, %v; want …%s…", name, len(keys), problems, tc.want)
		}
	}
	keys, problems := parseKeys([]byte(public + "\nfrom=\"10.0.0.1\" " + public + "\n"))
	if len(keys) != 1 || len(problems) != 1 || !strings.Contains(problems[0], "authorized_keys:2: this key is listed before") {
		t.Errorf("a key twice: %d keys, %v", len(keys), problems)
	}
}

func FuzzParseKeys(f *testing.F) {
	_, public := newKey(f)
	for _, options := range []string{"", "restrict ", `from="10.0.0.0/8,!10.1.*" `, `command="why \"a b\"",no-pty `, `a="`, `from="[" `} {
		f.Add(options, public)
	}
	f.Fuzz(func(t *testing.T, options, public string) {
		keys, problems := parseKeys([]byte(options + public))
		for _, k := range keys {
			k.From.Allows(netip.MustParseAddr("10.0.0.1"))
			// What a key may do comes of options that are all understood.
			if len(k.command) > 0 && k.command[0] != sftpWord {
				if _, err := parseCommand(k.command[0]); err != nil {
					t.Errorf("%q gives the command %q", options, k.command)
				}
			}
		}
		for _, p := range problems {
			if strings.ContainsFunc(p, func(r rune) bool { return r < ' ' }) {
				t.Errorf("the problem has control characters: %q", p)
			}
		}
	})
}
