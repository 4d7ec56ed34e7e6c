package netboot

// GRUBLine is the one line of the configuration inside of each GRUB for UEFI,
// which it runs before it looks for another. As it stands it sets a variable that
// nothing reads. A server puts a line of the same length in its place that names
// itself; by itself GRUB takes the DHCP server for the one that it came from, which
// beside another DHCP server is wrong. What GRUB's parser is at that moment knows
// no comments and no conditions.
const GRUBLine = "set tench_server=nobody-has-written-it"
