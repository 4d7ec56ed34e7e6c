// Package flash writes an image to a stick: to the right one, whole, and so that
// what was interrupted does not half boot.
//
//	flash.go    this map
//	devices.go  Machine, Device: the disks there are, as /sys describes them
//	uses.go     by whom they are in use, also through LVM, RAID, encryption
//	refuse.go   the reasons not to write to one
//	image.go    Image: hash and signature, board, a copy that nobody else reaches
//	table.go    partition table and labels, of images and of what is on a stick
//	fat.go      FAT: what of it is in use, slot.env
//	ext4.go     ext4: what of it is in use
//	plan.go     which bytes of the image a stick gets
//	write.go    Write: their order; read back; sticks that lie about their size
//	stream.go   Stream: the same writes, for an installer far away
//	target.go   Disk, ImageFile: what is written to
//	data.go     a data partition with the box's identity and router.toml
//
// It is beside build/disk, which makes what is read here, and has its own reading
// of it: what one has wrong, the other finds. It is no step of a build.
//
// What a person sees and is asked is in cmd/tench.
package flash
