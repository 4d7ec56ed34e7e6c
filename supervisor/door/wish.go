package door

import (
	"fmt"
	"strconv"
	"strings"
)

// Wish is where the door shall listen.
type Wish struct {
	Port    int      // TCP; 0: there shall be no door
	Devices []Device // those of the configured interfaces that are there now
}

// Device is a network device. The index tells one that was unplugged and came
// back from the one before, whose sockets hear nothing any more.
type Device struct {
	Name  string // the kernel's, e.g. "eth1"
	Index int
}

// String is the wish on one line, e.g. "22 eth1/3 br0/7"; "" for no door.
func (w Wish) String() string {
	if w.Port == 0 {
		return ""
	}
	words := []string{strconv.Itoa(w.Port)}
	for _, d := range w.Devices {
		words = append(words, d.Name+"/"+strconv.Itoa(d.Index))
	}
	return strings.Join(words, " ")
}

// ParseWish reads what String wrote.
func ParseWish(line string) (Wish, error) {
	var w Wish
	for i, word := range strings.Fields(line) {
		if i == 0 {
			port, err := strconv.Atoi(word)
			if err != nil || port < 1 || port > 65535 {
				return Wish{}, fmt.Errorf("door: %q is not a port", word)
			}
			w.Port = port
			continue
		}
		// A device's name has no slash.
		name, number, _ := strings.Cut(word, "/")
		index, err := strconv.Atoi(number)
		if err != nil || index < 1 || name == "" {
			return Wish{}, fmt.Errorf("door: %q is not a device with its index, e.g. eth0/2", word)
		}
		w.Devices = append(w.Devices, Device{name, index})
	}
	return w, nil
}
