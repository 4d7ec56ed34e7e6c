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

	link string // kernel name of the link it needs; "" for none
	make bool   // makes that link
	do   func(system.System) error
}

// String is the line for the log, e.g. "lan: add address 192.168.1.1/24".
func (c Change) String() string { return c.On + ": " + c.Text }

// Apply makes the changes in order. One that fails does not stop the others,
// except that a device which cannot be made is not configured either. There is
// one error for each change that failed.
func Apply(sys system.System, changes []Change) []error {
	var errs []error
	missing := map[string]bool{}
	for _, c := range changes {
		if missing[c.link] {
			continue
		}
		err := c.do(sys)
		if err == nil {
			continue
		}
		if !strings.HasPrefix(err.Error(), c.On+": ") {
			err = fmt.Errorf("%s: %w", c.On, err)
		}
		errs = append(errs, err)
		missing[c.link] = c.make
	}
	return errs
}
