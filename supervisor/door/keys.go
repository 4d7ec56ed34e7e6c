package door

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Bounds on a file of authorized keys.
const (
	maxKeys    = 64 << 10 // bytes
	minRSABits = 2048
)

// key is a public key that may log in.
type key struct {
	public  ssh.PublicKey
	comment string // as in the file, e.g. "anna@desk"
	from    from
	command []string // what every session runs, whatever it asks for; nil for what it asks for
	noPTY   bool
}

// shown is how the log calls the key.
func (k key) shown() string {
	s := ssh.FingerprintSHA256(k.public)
	if k.comment != "" {
		s += " " + plain(k.comment)
	}
	return s
}

// operator is who the key belongs to: keys with one comment are of one person.
func (k key) operator() string {
	if k.comment == "" {
		return ssh.FingerprintSHA256(k.public)
	}
	return plain(k.comment)
}

// problem is a line that lets nobody in, and why.
type problem struct {
	line int
	err  error
}

func (p problem) String() string { return fmt.Sprintf("authorized_keys:%d: %v", p.line, p.err) }

// parseKeys reads a file in the format of authorized_keys, see sshd(8). A line
// with an option that cannot be honoured is refused whole: ignoring the option
// would let its key do more than its owner meant.
func parseKeys(data []byte) ([]key, []problem) {
	if len(data) > maxKeys {
		return nil, []problem{{1, fmt.Errorf("the file has more than %d bytes", maxKeys)}}
	}
	var keys []key
	var problems []problem
	n := 0
	for line := range bytes.Lines(data) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		k, err := parseKey(line)
		if err == nil && find(keys, k.public) != nil {
			err = errors.New("this key is listed before: the first line counts")
		}
		if err != nil {
			problems = append(problems, problem{n, err})
			continue
		}
		keys = append(keys, k)
	}
	return keys, problems
}

func parseKey(line []byte) (key, error) {
	public, comment, options, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return key{}, errors.New("it is not a public key")
	}
	k := key{public: public, comment: comment}
	if err := checkKind(public); err != nil {
		return k, err
	}
	for _, o := range options {
		if err := k.option(o); err != nil {
			return k, err
		}
	}
	return k, nil
}

// checkKind refuses keys that are too weak, and those that are not plain keys.
func checkKind(public ssh.PublicKey) error {
	switch public.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if c, ok := public.(ssh.CryptoPublicKey); ok {
			if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() >= minRSABits {
				return nil
			}
		}
		return fmt.Errorf("an RSA key has at least %d bits", minRSABits)
	}
	return fmt.Errorf("keys of type %s are not taken", plain(public.Type()))
}

// option honours one option of a line, e.g. `from="10.0.0.0/8"`, or refuses it.
// Names of options are in any case.
func (k *key) option(text string) error {
	name, value, valued := strings.Cut(text, "=")
	if valued {
		var err error
		if value, err = unquote(value); err != nil {
			return fmt.Errorf("option %s: %w", plain(name), err)
		}
	}
	name = strings.ToLower(name)
	switch {
	case name == "from" && valued && k.from == nil:
		list, err := parseFrom(value)
		if err != nil {
			return fmt.Errorf("option from: %w", err)
		}
		k.from = list
	case name == "command" && valued && k.command == nil:
		args, err := forcedCommand(value)
		if err != nil {
			return fmt.Errorf("option %w", err)
		}
		k.command = args
	case (name == "restrict" || name == "no-pty") && !valued:
		k.noPTY = true
	case name == "pty" && !valued:
		k.noPTY = false
	case (name == "no-port-forwarding" || name == "no-agent-forwarding" || name == "no-x11-forwarding" ||
		name == "no-user-rc") && !valued:
		// There is none of it for anybody.
	default:
		return fmt.Errorf("option %s is not honoured here, so the key is refused", plain(text))
	}
	return nil
}

// forcedCommand reads the value of command="…".
func forcedCommand(value string) ([]string, error) {
	if value == sftpWord || value == "internal-sftp" {
		return []string{sftpWord}, nil
	}
	return parseCommand(value)
}

// unquote takes the quotation marks off; \" inside of them stands for ".
func unquote(value string) (string, error) {
	inside, ok := strings.CutPrefix(value, `"`)
	if ok {
		inside, ok = strings.CutSuffix(inside, `"`)
	}
	if !ok {
		return "", errors.New("its value is not in double quotes")
	}
	return strings.ReplaceAll(inside, `\"`, `"`), nil
}

// find returns the key of the list that is public, or nil.
func find(keys []key, public ssh.PublicKey) *key {
	blob := public.Marshal()
	for i := range keys {
		if bytes.Equal(keys[i].public.Marshal(), blob) {
			return &keys[i]
		}
	}
	return nil
}

// errStranger refuses a key without telling the client why.
var errStranger = errors.New("this key may not log in")

// admit finds the key with which a client at the address a may log in.
func admit(keys []key, public ssh.PublicKey, a netip.Addr) (*key, error) {
	k := find(keys, public)
	switch {
	case k == nil:
		return nil, errStranger
	case !k.from.allows(a):
		return nil, fmt.Errorf("key %s may not log in from here: %w", k.shown(), errStranger)
	}
	return k, nil
}
