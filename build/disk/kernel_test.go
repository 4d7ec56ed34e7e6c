package disk

import "encoding/binary"

// testKernel is a kernel of a few bytes: it writes its command line to COM1
// and resets the machine. GRUB takes it for a Linux kernel (the kernel's
// Documentation/arch/x86/boot.rst, protocol 2.12).
func testKernel() []byte {
	const setupSectors, handover = 4, 0x200
	k := make([]byte, (setupSectors+1)*512)
	put16, put32, put64 := binary.LittleEndian.PutUint16, binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	k[0x1f1] = setupSectors
	put32(k[0x1f4:], (handover+0x400)/16) // length of the code in paragraphs
	put16(k[0x1fe:], 0xaa55)
	copy(k[0x200:], "\xeb\x66HdrS") // jump to 0x268
	copy(k[0x268:], realMode)
	put16(k[0x206:], 0x020c)
	k[0x211] = 1 // loaded high
	put32(k[0x214:], 0x100000)
	put32(k[0x22c:], 0x37ffffff)
	put32(k[0x230:], 0x200000)
	k[0x234], k[0x235] = 1, 21 // relocatable, alignment 2^21
	k[0x236] = 1<<0 | 1<<3     // 64-bit kernel with an EFI handover entry
	put32(k[0x238:], 2047)
	put64(k[0x258:], 0x1000000)
	put32(k[0x260:], 0x100000)
	put32(k[0x264:], handover)
	// GRUB's linux enters in 32 or 64 bits. The same code serves both, but for the register with the boot
	// parameters; "inc ebx" is written so that it means that in 64 bits, too.
	entry32 := []byte{0x8b, 0x9e, 0x28, 0x02, 0x00, 0x00} // mov ebx, [esi+0x228]  command line
	entry64 := []byte{0x8b, 0x9a, 0x28, 0x02, 0x00, 0x00} // mov ebx, [rdx+0x228]
	code := []byte{
		0x8a, 0x23, //             next: mov ah, [ebx]
		0x84, 0xe4, //                   test ah, ah
		0x75, 0x02, //                   jnz send
		0xb4, 0x0a, //                   mov ah, '\n'
		0x66, 0xba, 0xfd, 0x03, // send: mov dx, 0x3fd
		0xec,       //             wait: in al, dx
		0xa8, 0x20, //                   test al, 0x20
		0x74, 0xfb, //                   jz wait
		0x88, 0xe0, //                   mov al, ah
		0x66, 0xba, 0xf8, 0x03, //       mov dx, 0x3f8
		0xee,       //                   out dx, al
		0xff, 0xc3, //                   inc ebx
		0x3c, 0x0a, //                   cmp al, '\n'
		0x75, 0xe2, //                   jne next
		0xb0, 0xfe, //                   mov al, 0xfe
		0xe6, 0x64, //                   out 0x64, al  reset
		0xeb, 0xfe, //                   jmp $
	}
	body := make([]byte, handover+0x400)
	copy(body, append(entry32, code...))
	copy(body[handover+0x200:], append(entry64, code...)) // 64-bit entries lie 0x200 further
	return append(k, body...)
}

// realMode does the same where linux16 enters; ds is the segment of the boot
// parameters.
var realMode = []byte{
	0x66, 0x8b, 0x1e, 0x28, 0x02, //       mov ebx, [0x228]  command line, linear
	0x66, 0x89, 0xd8, //                   mov eax, ebx
	0x66, 0xc1, 0xe8, 0x04, //             shr eax, 4
	0x8e, 0xd8, //                         mov ds, ax
	0x83, 0xe3, 0x0f, //                   and bx, 15
	0x8a, 0x27, //                   next: mov ah, [bx]
	0x84, 0xe4, //                         test ah, ah
	0x75, 0x02, //                         jnz send
	0xb4, 0x0a, //                         mov ah, '\n'
	0xba, 0xfd, 0x03, //             send: mov dx, 0x3fd
	0xec,       //                   wait: in al, dx
	0xa8, 0x20, //                         test al, 0x20
	0x74, 0xfb, //                         jz wait
	0x88, 0xe0, //                         mov al, ah
	0xba, 0xf8, 0x03, //                   mov dx, 0x3f8
	0xee,       //                         out dx, al
	0x43,       //                         inc bx
	0x3c, 0x0a, //                         cmp al, '\n'
	0x75, 0xe5, //                         jne next
	0xb0, 0xfe, //                         mov al, 0xfe
	0xe6, 0x64, //                         out 0x64, al  reset
	0xeb, 0xfe, //                         jmp $
}
