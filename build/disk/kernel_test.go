package disk

import "encoding/binary"

// testKernel is a kernel of a few bytes: it writes its command line to COM1
// and resets the machine. GRUB takes it for a Linux kernel (the kernel's
// Documentation/arch/x86/boot.rst, protocol 2.10).
func testKernel() []byte {
	const setupSectors = 4
	k := make([]byte, (setupSectors+1)*512, 8192)
	put16, put32, put64 := binary.LittleEndian.PutUint16, binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	k[0x1f1] = setupSectors
	put32(k[0x1f4:], 32) // length of the code below in paragraphs
	put16(k[0x1fe:], 0xaa55)
	copy(k[0x200:], "\xeb\x66HdrS")
	put16(k[0x206:], 0x020a)
	k[0x211] = 1 // loaded high
	put32(k[0x214:], 0x100000)
	put32(k[0x22c:], 0x37ffffff)
	put32(k[0x230:], 0x200000)
	k[0x234], k[0x235] = 1, 21 // relocatable, alignment 2^21
	put32(k[0x238:], 2047)
	put64(k[0x258:], 0x1000000)
	put32(k[0x260:], 0x100000)
	code := []byte{
		0x8b, 0x9e, 0x28, 0x02, 0x00, 0x00, //    mov ebx, [esi+0x228]  command line
		0x8a, 0x23, //                      next: mov ah, [ebx]
		0x84, 0xe4, //                            test ah, ah
		0x75, 0x02, //                            jnz send
		0xb4, 0x0a, //                            mov ah, '\n'
		0x66, 0xba, 0xfd, 0x03, //          send: mov dx, 0x3fd
		0xec,       //                      wait: in al, dx
		0xa8, 0x20, //                            test al, 0x20
		0x74, 0xfb, //                            jz wait
		0x88, 0xe0, //                            mov al, ah
		0x66, 0xba, 0xf8, 0x03, //                mov dx, 0x3f8
		0xee,       //                            out dx, al
		0x43,       //                            inc ebx
		0x3c, 0x0a, //                            cmp al, '\n'
		0x75, 0xe3, //                            jne next
		0xb0, 0xfe, //                            mov al, 0xfe
		0xe6, 0x64, //                            out 0x64, al  reset
		0xeb, 0xfe, //                            jmp $
	}
	k = append(k, code...)
	return append(k, make([]byte, 512-len(code))...)
}
