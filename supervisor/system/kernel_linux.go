package system

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Kernel is the running kernel, in the network namespace of the process.
type Kernel struct {
	// ResolvConf is the file that WriteResolvConf writes: "/etc/resolv.conf"
	// until it is set to another, which that is then a link to.
	ResolvConf string

	// reader is used for dumps. It asks for strict checking, without which the
	// kernel ignores the filter and sends every route it has.
	reader *netlink.Handle
}

var _ System = (*Kernel)(nil)

// New opens the door. The namespace is that of the calling thread; a process
// that changes namespaces must do so before any of its threads calls in here.
func New() (*Kernel, error) {
	// The kernel's own words ("Nexthop has invalid gateway") beat an errno. This
	// switch is for sockets opened from now on and is never turned off.
	nl.EnableErrorMessageReporting = true
	reader, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("system: open netlink socket: %w", err)
	}
	if err := reader.SetStrictCheck(true); err != nil {
		reader.Close()
		return nil, fmt.Errorf("system: ask netlink for strict checks: %w", err)
	}
	return &Kernel{ResolvConf: "/etc/resolv.conf", reader: reader}, nil
}

// Close closes the netlink socket.
func (k *Kernel) Close() { k.reader.Close() }

// ReadSysctl implements Sysctls.
func (k *Kernel) ReadSysctl(key string) (string, error) {
	path, err := SysctlPath(key)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(filepath.Join("/proc/sys", path))
	if err != nil {
		return "", sysctlError(key, "read", err)
	}
	return strings.TrimSuffix(string(data), "\n"), nil
}

// WriteSysctl implements Sysctls.
func (k *Kernel) WriteSysctl(key, value string) error {
	path, err := SysctlPath(key)
	if err != nil {
		return err
	}
	// Not os.WriteFile: these files are neither created nor truncated.
	f, err := os.OpenFile(filepath.Join("/proc/sys", path), os.O_WRONLY, 0)
	if err != nil {
		return sysctlError(key, "write", err)
	}
	_, err = f.WriteString(value)
	if err := errors.Join(err, f.Close()); err != nil {
		return sysctlError(key, fmt.Sprintf("set to %q", value), err)
	}
	return nil
}

// sysctlError drops the path that package os adds: the key says as much.
func sysctlError(key, verb string, err error) error {
	var pe *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("sysctl %s: %s: %w\nhint: this kernel has no such setting; `ls /proc/sys` shows what there is", key, verb, fs.ErrNotExist)
	case errors.As(err, &pe):
		return fmt.Errorf("sysctl %s: %s: %w", key, verb, pe.Err)
	}
	return fmt.Errorf("sysctl %s: %s: %w", key, verb, err)
}

// Hostname implements Host.
func (k *Kernel) Hostname() (string, error) { return os.Hostname() }

// SetHostname implements Host.
func (k *Kernel) SetHostname(name string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("hostname: set to %q: %w", name, err)
	}
	return nil
}

// ReadResolvConf implements Host.
func (k *Kernel) ReadResolvConf() ([]byte, error) {
	data, err := os.ReadFile(k.ResolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// WriteResolvConf implements Host.
func (k *Kernel) WriteResolvConf(data []byte) error {
	return WriteFile(k.ResolvConf, data, 0o644)
}
