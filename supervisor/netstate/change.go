package netstate

import (
	"fmt"
	"strings"

	"tench/supervisor/system"
)

// Change is one step from what is to what should be.
type Change struct {
	On   string // whose it is: an interface's name in router.toml, a device's, or e.g. "sysctl"
	Text string // what it does, e.g. "add address 192.168.1.1/24"

	Link  string // kernel name of the link it needs; "" for none
	Makes bool   // makes that link: when it fails, the others on Link are in vain

	do func(system.System) error
}

// String is the line for the log, e.g. "lan: add address 192.168.1.1/24".
func (c Change) String() string { return c.On + ": " + c.Text }

// Apply makes one change. Its error begins with On.
func Apply(sys system.System, c Change) error {
	err := c.do(sys)
	if err != nil && !strings.HasPrefix(err.Error(), c.On+": ") {
		return fmt.Errorf("%s: %w", c.On, err)
	}
	return err
}
