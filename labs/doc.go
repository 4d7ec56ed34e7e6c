// Package labs holds stories: real programs against real peers, in network
// namespaces or in QEMU. They run with TENCH_LAB=yes, see CONTRIBUTING.md.
//
//	boot_test.go       the built image in QEMU, to the menu and back
//	boards_test.go     every board in the machine that stands in for it
//	net_*_test.go      DHCP, links and repair against Debian's programs
//	loop_test.go       the network loop in a namespace
//	door_test.go       OpenSSH into a box
//	slots_test.go      a slot on trial that is good, and every way to be none
//	board_slots_test.go  the same where U-Boot starts GRUB
//	update_test.go     an update from a stick, there and back
//	update_bench_test.go  what an update sends
//	stick_test.go      sticks that are plugged into a box that runs
//	secret_test.go     planted secrets, looked for everywhere
//	flash_test.go      tench flash on loop devices, and the box that comes of it
//	install_box_test.go  a netbooted box that installs itself, and one without a disk
//	generations_test.go  configurations on trial: cut off, killed, switched off
//	pxe_*_test.go      machines that boot over a wire: each way, installs, three at once
//	pxe_bench_test.go  how long that takes, beside dnsmasq and dd
//	apply_test.go      tench apply from the desk to a box over SSH
//	far_box_test.go    a box that is reached over SSH alone: apply, update, backup, restore
//	far_bench_test.go  how long that takes and what it sends
//	unlike_test.go     the same on hardware that lacks ports
//	backup_test.go     a backup over OpenSSH, opened by age
//	restore_test.go    a box made again from its backup
//	late_data_test.go  a data partition that comes late
//	powercut*_test.go  the power fails at any write of a box's life
//	reproduce_test.go  the same image from another folder
//	release_test.go    a release of the built image, checked by signify
//	faults_*_test.go   builds of a tiny board that are stopped, starved and misled
//	farm_bench_test.go what a compile farm costs and saves
//	bench_test.go      the numbers of make bench
//	rival_bench_test.go  the boot beside u-root's
package labs
